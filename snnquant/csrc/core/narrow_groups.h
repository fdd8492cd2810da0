// Convolutions whose groups have a few channels, depthwise ones above all.
#pragma once

#include <cstdint>

#include "isa_namespace.h"
#include "synapse.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Adds what one kernel position sees to the sums of all channels; weights are
// [group_in][channels_out].
inline void add_narrow(const SynapseShape& shape, const uint8_t* input, const int8_t* weights,
                       int32_t* sums) {
  const int64_t per_group_in = shape.group_in(), per_group_out = shape.group_out();
  const int32_t zero = shape.zero_point;
  if (per_group_in == 1 && per_group_out == 1) {
    SNNQUANT_INDEPENDENT_LOOP
    for (int64_t n = 0; n < shape.channels_out; ++n) sums[n] += (input[n] - zero) * weights[n];
    return;
  }
  for (int64_t group = 0; group < shape.groups; ++group) {
    for (int64_t j = 0; j < per_group_in; ++j) {
      const int32_t value = input[group * per_group_in + j] - zero;
      if (value == 0) continue;
      const int64_t first = group * per_group_out;
      const int8_t* row = weights + j * shape.channels_out + first;
      for (int64_t n = 0; n < per_group_out; ++n) sums[first + n] += value * row[n];
    }
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
