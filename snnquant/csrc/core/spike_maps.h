// Maps of spikes without synapses: pooling, sums of two maps, sums over time. Channels last.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa_namespace.h"
#include "synapse.h"
#include "vectors.h"

namespace snnquant {

// Pooling of [maps][in_y][in_x][channels]; padding adds nothing and never wins.
struct PoolCall {
  Axis y, x;
  MapShape map;  // batch: all leading axes
  int64_t channels;
  bool sums;  // sums of the window (of at most 255), else its maximum
  const uint8_t* input;
  uint8_t* output;
};

// Work on spikes that is cut into pieces of equal kind.
struct SpikeMapKernels {
  // Rows first..last-1 of the flattened [maps][out_y].
  void (*pool)(const PoolCall& call, int64_t first, int64_t last);
  // Elements first..last-1.
  void (*add)(const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t first, int64_t last);
  // Elements first..last-1 of each step, which are `size` apart.
  void (*time_sum)(const uint8_t* input, int64_t steps, int64_t size, int32_t* out, int64_t first,
                   int64_t last);
};

namespace SNNQUANT_ISA {

// Most taps of a window that are pooled at once.
constexpr int64_t kMostTaps = 64;

// out[c] = the sum or the largest of taps[k][c].
template <bool sums>
void pool_taps(const uint8_t* const* taps, int64_t count, int64_t channels, uint8_t* out) {
  int64_t c = 0;
#if defined(SNNQUANT_HAS_VECTORS)
  typedef uint8_t Bytes __attribute__((vector_size(kVectorBytes)));
  for (; c + kVectorBytes <= channels; c += kVectorBytes) {
    Bytes all = load<Bytes>(taps[0] + c);
    for (int64_t k = 1; k < count; ++k) {
      const Bytes one = load<Bytes>(taps[k] + c);
      all = sums ? all + one : (one > all ? one : all);
    }
    store(out + c, all);
  }
#endif
  for (; c < channels; ++c) {
    uint8_t all = taps[0][c];
    for (int64_t k = 1; k < count; ++k) {
      const uint8_t one = taps[k][c];
      all = sums ? static_cast<uint8_t>(all + one) : (one > all ? one : all);
    }
    out[c] = all;
  }
}

// One row of outputs. Windows of more taps than are pooled at once go on from what is there, as one
// tap more.
template <bool sums>
void pool_row(const PoolCall& call, const uint8_t* map, int64_t y, uint8_t* out) {
  const uint8_t* taps[kMostTaps];
  const Axis axis = call.x;
  const int64_t channels = call.channels, in_x = call.map.in_x;
  int64_t first_y, end_y;
  call.y.taps_inside(y, call.map.in_y, &first_y, &end_y);
  for (int64_t x = 0; x < call.map.out_x; ++x, out += channels) {
    int64_t count = 0, first_x, end_x;
    axis.taps_inside(x, in_x, &first_x, &end_x);
    for (int64_t ky = first_y; ky < end_y; ++ky) {
      const int64_t in_y = y * call.y.stride - call.y.pad + ky * call.y.dilation;
      const uint8_t* row = map + in_y * in_x * channels;
      for (int64_t kx = first_x; kx < end_x; ++kx) {
        taps[count++] = row + (x * axis.stride - axis.pad + kx * axis.dilation) * channels;
        if (count < kMostTaps) continue;
        pool_taps<sums>(taps, count, channels, out);
        taps[0] = out;
        count = 1;
      }
    }
    if (count > 0) {
      pool_taps<sums>(taps, count, channels, out);
    } else {
      std::memset(out, 0, static_cast<size_t>(channels));
    }
  }
}

inline void pool_spikes(const PoolCall& call, int64_t first, int64_t last) {
  const MapShape& m = call.map;
  for (int64_t k = first; k < last; ++k) {
    const uint8_t* map = call.input + k / m.out_y * m.in_y * m.in_x * call.channels;
    uint8_t* out = call.output + k * m.out_x * call.channels;
    if (call.sums) {
      pool_row<true>(call, map, k % m.out_y, out);
    } else {
      pool_row<false>(call, map, k % m.out_y, out);
    }
  }
}

inline void add_spikes(const uint8_t* a, const uint8_t* b, uint8_t* out, int64_t first,
                       int64_t last) {
  SNNQUANT_INDEPENDENT_LOOP
  for (int64_t k = first; k < last; ++k) out[k] = static_cast<uint8_t>(a[k] + b[k]);
}

inline void sum_over_time(const uint8_t* input, int64_t steps, int64_t size, int32_t* out,
                          int64_t first, int64_t last) {
  constexpr int64_t kBlock = 4096;  // sums that stay in the nearest cache
  for (int64_t start = first; start < last; start += kBlock) {
    const int64_t end = last - start < kBlock ? last : start + kBlock;
    for (int64_t k = start; k < end; ++k) out[k] = 0;
    for (int64_t t = 0; t < steps; ++t) {
      SNNQUANT_INDEPENDENT_LOOP
      for (int64_t k = start; k < end; ++k) out[k] += input[t * size + k];
    }
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
