// Weights of fewer than 8 bits, several to a byte: the lowest bits first, each stored as
// w + 2**(bits - 1).
#pragma once

#include <cstdint>

#include "isa_namespace.h"

namespace snnquant {
namespace SNNQUANT_ISA {

inline int32_t field_of(uint8_t byte, int bits, int64_t index) {
  const int mask = (1 << bits) - 1;
  return ((byte >> (bits * index)) & mask) - (1 << (bits - 1));
}

// Writes `count` weights, a multiple of those in a byte.
inline void unpack_weights(const uint8_t* packed, int bits, int64_t count, int8_t* out) {
  if (bits == 4) {
    for (int64_t k = 0; k < count / 2; ++k) {
      out[2 * k] = static_cast<int8_t>((packed[k] & 15) - 8);
      out[2 * k + 1] = static_cast<int8_t>((packed[k] >> 4) - 8);
    }
    return;
  }
  for (int64_t k = 0; k < count / 4; ++k) {
    for (int f = 0; f < 4; ++f) {
      out[4 * k + f] = static_cast<int8_t>(((packed[k] >> (2 * f)) & 3) - 2);
    }
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
