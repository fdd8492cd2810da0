// Sums of a part whose groups have a few channels, as depthwise convolutions do: the channels of
// all groups lie side by side in the lanes.
#pragma once

#include <cstdint>

#include "isa_namespace.h"
#include "layer_neurons.h"
#include "layer_view.h"

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

class NarrowSums {
 public:
  NarrowSums(const PartView& view, LayerNeurons& neurons, int32_t* sums)
      : view_(view), neurons_(neurons), sums_(sums) {}

  void run() {
    for (int64_t y = view_.part.y0; y < view_.part.y1; ++y) {
      for (int64_t x = view_.part.x0; x < view_.part.x1; ++x) {
        for (int64_t t = 0; t < view_.rows; ++t)
          sum_narrow(t, y, x, sums_ + t * view_.size.channels);
        for (int64_t tile = 0; tile < view_.shape.tiles(); ++tile) {
          neurons_.take(view_.position(y, x), view_.local(y, x), 0, tile, sums_ + tile * kTile,
                        view_.step_stride(view_.size.channels));
        }
      }
    }
  }

 private:
  void sum_narrow(int64_t t, int64_t y, int64_t x, int32_t* sums) const {
    for (int64_t c = 0; c < view_.size.channels; ++c) sums[c] = 0;
    const int64_t weights = view_.shape.group_in() * view_.shape.channels_out;
    for (int64_t ky = 0; ky < view_.shape.y.kernel; ++ky) {
      const int64_t in_y =
          y * view_.shape.y.stride - view_.shape.y.pad + ky * view_.shape.y.dilation;
      if (in_y < 0 || in_y >= view_.map.in_y) continue;
      for (int64_t kx = 0; kx < view_.shape.x.kernel; ++kx) {
        const int64_t in_x =
            x * view_.shape.x.stride - view_.shape.x.pad + kx * view_.shape.x.dilation;
        if (in_x < 0 || in_x >= view_.map.in_x) continue;
        add_narrow(view_.shape, view_.input(t, in_y, in_x),
                   view_.weights.narrow + (ky * view_.shape.x.kernel + kx) * weights, sums);
      }
    }
  }

  const PartView& view_;
  LayerNeurons& neurons_;
  int32_t* sums_;  // [steps][channels]
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
