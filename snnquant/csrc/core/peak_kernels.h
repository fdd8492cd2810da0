// The loops whose speed is the most that one core can do, compiled once per instruction set.
#pragma once

#include <cstdint>

namespace snnquant {

struct PeakKernels {
  // Multiplications of an input and a weight, each with its sum, in so many rounds.
  int64_t (*dense)(int64_t rounds, int32_t* out);
  // Weights added up for events.
  int64_t (*events)(int64_t rounds, int32_t* out);
};

}  // namespace snnquant
