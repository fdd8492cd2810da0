// What the spikes of the last step bring back through the recurrent weights.
#pragma once

#include <cstdint>

#include "isa_namespace.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// A row adds at most 255 * 128 in magnitude to an int32 sum, so this many rows cannot overflow it.
constexpr int64_t kRowsPerSum = 65536;
static_assert(kRowsPerSum * 255 * 128 <= INT32_MAX, "a partial sum must fit int32");

// feedback[j] = sum over i of spikes[i] * weight[i][j]; silent neurons cost nothing.
inline void gather_feedback(const uint8_t* spikes, const int8_t* weight, int64_t neurons,
                            int32_t* partial, int64_t* feedback) {
  for (int64_t j = 0; j < neurons; ++j) feedback[j] = 0;
  for (int64_t start = 0; start < neurons; start += kRowsPerSum) {
    const int64_t stop = neurons - start > kRowsPerSum ? start + kRowsPerSum : neurons;
    for (int64_t j = 0; j < neurons; ++j) partial[j] = 0;
    for (int64_t i = start; i < stop; ++i) {
      const int32_t count = spikes[i];
      if (count == 0) continue;
      const int8_t* row = weight + i * neurons;
      SNNQUANT_INDEPENDENT_LOOP
      for (int64_t j = 0; j < neurons; ++j) partial[j] += count * row[j];
    }
    for (int64_t j = 0; j < neurons; ++j) feedback[j] += partial[j];
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
