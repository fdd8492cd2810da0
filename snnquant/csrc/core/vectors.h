// Vector types of the instruction set at hand, and the few instructions that have no operator.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa_namespace.h"

#if defined(SNNQUANT_PLAIN)
#elif defined(__AVX512VNNI__) && defined(__AVX512VBMI2__) && defined(__AVX512BW__)
#define SNNQUANT_AVX512VNNI 1
#include <immintrin.h>
#elif defined(__AVX2__)
#define SNNQUANT_AVX2 1
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__ARM_FEATURE_DOTPROD)
#define SNNQUANT_NEON_DOT 1
#include <arm_neon.h>
#elif defined(__SSE2__)
#define SNNQUANT_SSE2 1
#include <emmintrin.h>
#endif

// GCC and Clang have vectors of any length in the language; other compilers run plain loops, as does
// SNNQUANT_PLAIN for comparison.
#if (defined(__GNUC__) || defined(__clang__)) && !defined(SNNQUANT_PLAIN)
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
typedef int16_t Lanes16 __attribute__((vector_size(kVectorBytes)));
typedef int32_t Lanes32 __attribute__((vector_size(kVectorBytes)));
typedef uint16_t Unsigned16 __attribute__((vector_size(kVectorBytes)));
typedef uint32_t Unsigned32 __attribute__((vector_size(kVectorBytes)));
typedef uint8_t Bytes16 __attribute__((vector_size(kVectorBytes / 2)));  // one per lane
typedef uint8_t Bytes32 __attribute__((vector_size(kVectorBytes / 4)));
constexpr int64_t kLanes16 = kVectorBytes / 2, kLanes32 = kVectorBytes / 4;

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

// Writes one byte per lane: 1 where v > limit, else 0.
SNNQUANT_INLINE void store_greater(uint8_t* out, Lanes16 v, Lanes16 limit) {
#if defined(SNNQUANT_AVX512VNNI)
  const __mmask32 greater = _mm512_cmpgt_epi16_mask((__m512i)v, (__m512i)limit);
  store(out, _mm256_maskz_set1_epi8(greater, 1));
#else
  store(out, __builtin_convertvector((v > limit) & 1, Bytes16));
#endif
}
SNNQUANT_INLINE void store_greater(uint8_t* out, Lanes32 v, Lanes32 limit) {
#if defined(SNNQUANT_AVX512VNNI)
  const __mmask16 greater = _mm512_cmpgt_epi32_mask((__m512i)v, (__m512i)limit);
  store(out, _mm_maskz_set1_epi8(greater, 1));
#else
  store(out, __builtin_convertvector((v > limit) & 1, Bytes32));
#endif
}

// (a * b + 2**14) >> 15, lane by lane; not both may be -2**15.
SNNQUANT_INLINE Lanes16 multiply_rounding(Lanes16 a, Lanes16 b) {
#if defined(SNNQUANT_AVX512VNNI)
  return (Lanes16)_mm512_mulhrs_epi16((__m512i)a, (__m512i)b);
#elif defined(SNNQUANT_AVX2)
  return (Lanes16)_mm256_mulhrs_epi16((__m256i)a, (__m256i)b);
#elif defined(SNNQUANT_NEON_DOT)
  return (Lanes16)vqrdmulhq_s16((int16x8_t)a, (int16x8_t)b);
#else
  Lanes16 out;
  for (int k = 0; k < kLanes16; ++k) out[k] = static_cast<int16_t>((a[k] * b[k] + 0x4000) >> 15);
  return out;
#endif
}

// (a * b) >> 16, lane by lane.
SNNQUANT_INLINE Lanes16 multiply_high(Lanes16 a, Lanes16 b) {
#if defined(SNNQUANT_AVX512VNNI)
  return (Lanes16)_mm512_mulhi_epi16((__m512i)a, (__m512i)b);
#elif defined(SNNQUANT_AVX2)
  return (Lanes16)_mm256_mulhi_epi16((__m256i)a, (__m256i)b);
#else
  Lanes16 out;
  for (int k = 0; k < kLanes16; ++k) out[k] = static_cast<int16_t>((a[k] * b[k]) >> 16);
  return out;
#endif
}
#endif

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
