// Vector types of the instruction set at hand, and the few instructions that have no operator.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa_namespace.h"

#if defined(__AVX512VNNI__) && defined(__AVX512VBMI2__) && defined(__AVX512BW__)
#define SNNQUANT_AVX512VNNI 1
#include <immintrin.h>
#elif defined(__AVX2__)
#define SNNQUANT_AVX2 1
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__ARM_FEATURE_DOTPROD)
#define SNNQUANT_NEON_DOT 1
#include <arm_neon.h>
#endif

// GCC and Clang have vectors of any length in the language; other compilers run the plain kernels.
#if defined(__GNUC__) || defined(__clang__)
#define SNNQUANT_HAS_VECTORS 1
#define SNNQUANT_UNROLL _Pragma("GCC unroll 16")
#define SNNQUANT_INLINE inline __attribute__((always_inline))
#define SNNQUANT_INLINE_LAMBDA __attribute__((always_inline))
#else
#define SNNQUANT_UNROLL
#define SNNQUANT_INLINE inline
#define SNNQUANT_INLINE_LAMBDA
#endif

namespace snnquant {
namespace SNNQUANT_ISA {

#if defined(SNNQUANT_AVX512VNNI)
constexpr int kVectorBytes = 64;
#elif defined(SNNQUANT_AVX2)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

#if defined(SNNQUANT_HAS_VECTORS)
template <class Vector>
SNNQUANT_INLINE Vector load(const void* address) {
  Vector v;
  std::memcpy(&v, address, sizeof v);
  return v;
}

template <class Vector>
SNNQUANT_INLINE void store(void* address, Vector v) {
  std::memcpy(address, &v, sizeof v);
}
#endif

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
