// What the spikes of the last step bring back through the recurrent weights.
#pragma once

#include <cstdint>

#include "isa_namespace.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// feedback[j] = sum over i of spikes[i] * weight[i][j]; silent neurons cost nothing. Below 2**24
// neurons a sum of counts times 32-bit weights cannot leave 64 bits.
inline void gather_feedback(const uint8_t* spikes, const int32_t* weight, int64_t neurons,
                            int64_t* feedback) {
  for (int64_t j = 0; j < neurons; ++j) feedback[j] = 0;
  for (int64_t i = 0; i < neurons; ++i) {
    const int64_t count = spikes[i];
    if (count == 0) continue;
    const int32_t* row = weight + i * neurons;
    SNNQUANT_INDEPENDENT_LOOP
    for (int64_t j = 0; j < neurons; ++j) feedback[j] += count * row[j];
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
