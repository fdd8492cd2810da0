// What one core can do at most: the loops that layers spend their time in, on data in registers and
// in the first cache level, and nothing else.
#pragma once

#include <cstdint>

#include "dot.h"
#include "gather.h"
#include "isa_namespace.h"
#include "peak_kernels.h"

namespace snnquant {

namespace SNNQUANT_ISA {

// Writes what it computed, so that no compiler leaves it out.
inline int64_t peak_dense(int64_t rounds, int32_t* out) {
  constexpr int64_t kInputs = 512;
  alignas(64) static const uint8_t inputs[kDotRows][kInputs] = {};
  alignas(64) static const int8_t weights[kInputs * kTile] = {};
  alignas(64) int32_t sums[kDotRows * kTile];
  const uint8_t* rows[kDotRows];
  for (int r = 0; r < kDotRows; ++r) rows[r] = inputs[r];
  const Run run = {0, kInputs};
  for (int64_t k = 0; k < rounds; ++k) {
    dot_tile(rows, kDotRows, &run, 1, weights, kTile, true, sums, kTile);
    out[0] += sums[k % kTile];
  }
  return rounds * kDotRows * kInputs * kTile;
}

inline int64_t peak_events(int64_t rounds, int32_t* out) {
  constexpr int64_t kRows = 64, kEvents = 240;
  alignas(64) static uint8_t rows[(kRows + 1) * kTile] = {};
  uint16_t events[kEvents + kEventSlack] = {};
  for (int64_t k = 0; k < kEvents; ++k) events[k] = static_cast<uint16_t>(k * 7 % kRows);
  alignas(64) int16_t sums[kTile];
  PackedWeights weights = {};
  weights.bits = 8;
  weights.row_bytes = kTile;
  const EventList list = whole_blocks({events, kEvents, rows}, kRows);
  for (int64_t k = 0; k < rounds; ++k) {
    gather_events(weights, list, 1, sums);
    out[0] += sums[k % kTile];
  }
  return rounds * kEvents * kTile;
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
