// Sums of a part from dot products with whole runs of inputs.
#pragma once

#include <cstdint>
#include <cstring>

#include "dot.h"
#include "isa_namespace.h"
#include "layer_neurons.h"
#include "layer_view.h"
#include "unpack.h"

namespace snnquant {
namespace SNNQUANT_ISA {

class DenseSums {
 public:
  DenseSums(const PartView& view, LayerNeurons& neurons) : view_(view), neurons_(neurons) {}

  // No input exceeds `largest`.
  void run(Scratch scratch, int64_t largest) {
    const bool padded = !view_.shape.one_position();
    Run* runs = scratch.take<Run>(view_.shape.y.kernel * view_.shape.x.kernel);
    int8_t* unpacked = view_.weights.bits == 8
                           ? nullptr
                           : scratch.take<int8_t>(view_.weights.dense_groups * 4 * kTile);
    const Reach reach_x(view_.shape.x, view_.part.x0, view_.part.x1),
        reach_y(view_.shape.y, view_.part.y0, view_.part.y1);
    const int64_t line = padded ? reach_x.size * view_.shape.channels_in : 0;
    const int64_t image = reach_y.size * line;
    uint8_t* copy = nullptr;
    if (padded) {
      copy = scratch.take<uint8_t>(view_.rows * image + kCacheLine);
      for (int64_t t = 0; t < view_.rows; ++t) copy_padded(t, reach_y, reach_x, copy + t * image);
    }
    const bool small = largest <= 128 && view_.shape.zero_point <= 128;
    for (int64_t group = 0; group < view_.shape.groups; ++group) {
      const int64_t run_count = make_runs(group, line, runs);
      for (int64_t tile = 0; tile < view_.shape.tiles(); ++tile) {
        const int8_t* weights = dense_weights(group, tile, unpacked);
        for (int64_t y = view_.part.y0; y < view_.part.y1; ++y) {
          dense_row(group, tile, y, copy, image, line, runs, run_count, weights, small);
        }
      }
    }
  }

 private:
  const int8_t* dense_weights(int64_t group, int64_t tile, int8_t* unpacked) const {
    const uint8_t* packed =
        view_.weights.dense + (group * view_.shape.tiles() + tile) * view_.weights.tile_bytes;
    if (view_.weights.bits == 8) return reinterpret_cast<const int8_t*>(packed);
    unpack_weights(packed, view_.weights.bits, view_.weights.dense_groups * 4 * kTile, unpacked);
    return unpacked;
  }

  // Behind a copied run lies memory that may be read; its weights are 0.
  static int64_t whole_groups(int64_t length) { return (length + 3) / 4 * 4; }

  // Inputs that lie side by side for every position, in the order of the weights.
  int64_t make_runs(int64_t group, int64_t line, Run* runs) const {
    const int64_t channels = view_.shape.group_in(), first = group * channels;
    if (view_.shape.one_position()) {
      runs[0] = {first, channels};
      return 1;
    }
    int64_t count = 0;
    const bool joined = view_.shape.joins_columns();
    for (int64_t ky = 0; ky < view_.shape.y.kernel; ++ky) {
      const int64_t row = ky * view_.shape.y.dilation * line + first;
      if (joined) {
        runs[count++] = {row, whole_groups(view_.shape.x.kernel * channels)};
        continue;
      }
      for (int64_t kx = 0; kx < view_.shape.x.kernel; ++kx) {
        runs[count++] = {row + kx * view_.shape.x.dilation * view_.shape.channels_in,
                         whole_groups(channels)};
      }
    }
    return count;
  }

  void copy_padded(int64_t t, const Reach& reach_y, const Reach& reach_x, uint8_t* out) const {
    const int64_t channels = view_.shape.channels_in;
    const int64_t begin = smaller_of(larger(reach_x.first, 0), reach_x.first + reach_x.size);
    const int64_t end = larger(begin, smaller_of(reach_x.first + reach_x.size, view_.map.in_x));
    const auto fill = [&](uint8_t* to, int64_t columns) {
      std::memset(to, view_.shape.zero_point, static_cast<size_t>(columns * channels));
    };
    for (int64_t k = 0; k < reach_y.size; ++k) {
      uint8_t* row = out + k * reach_x.size * channels;
      const int64_t y = reach_y.first + k;
      if (y < 0 || y >= view_.map.in_y) {
        fill(row, reach_x.size);
        continue;
      }
      fill(row, begin - reach_x.first);
      if (end > begin) {
        std::memcpy(row + (begin - reach_x.first) * channels, view_.input(t, y, begin),
                    static_cast<size_t>((end - begin) * channels));
      }
      fill(row + (end - reach_x.first) * channels, reach_x.first + reach_x.size - end);
    }
  }

  // One row of outputs of one tile; with few steps several positions share a pass over the weights.
  void dense_row(int64_t group, int64_t tile, int64_t y, const uint8_t* copy, int64_t image,
                 int64_t line, const Run* runs, int64_t run_count, const int8_t* weights,
                 bool small) {
    const int64_t together = view_.rows >= kDotRows ? 1 : kDotRows / view_.rows;
    const int32_t correction = kDotZero - view_.shape.zero_point;
    const int32_t* sums_of_weights = view_.weights.sums + neurons_.place(group, tile);
    const int64_t lanes = lanes_of(neurons_.valid_channels(tile));
    const int64_t down = (y - view_.part.y0) * view_.shape.y.stride * line;
    const int64_t across = view_.shape.x.stride * view_.shape.channels_in;
    for (int64_t x = view_.part.x0; x < view_.part.x1; x += together) {
      const int64_t positions = smaller_of(together, view_.part.x1 - x);
      alignas(64) int32_t sums[kStepChunk > kDotRows ? kStepChunk * kTile : kDotRows * kTile];
      const uint8_t* inputs[kStepChunk > kDotRows ? kStepChunk : kDotRows];
      int count = 0;
      for (int64_t p = 0; p < positions; ++p) {
        for (int64_t t = 0; t < view_.rows; ++t) {
          inputs[count++] = copy == nullptr
                                ? view_.input(t, 0, x + p)
                                : copy + t * image + down + (x + p - view_.part.x0) * across;
        }
      }
      for (int r = 0; r < count; r += kDotRows) {
        const int rows = count - r < kDotRows ? count - r : kDotRows;
        dot_tile(inputs + r, rows, runs, run_count, weights, lanes, small, sums + r * kTile, kTile);
      }
      if (correction != 0) {
        for (int r = 0; r < count; ++r) {
          for (int64_t n = 0; n < lanes; ++n)
            sums[r * kTile + n] += correction * sums_of_weights[n];
        }
      }
      for (int64_t p = 0; p < positions; ++p) {
        neurons_.take(view_.position(y, x + p), view_.local(y, x + p), group, tile,
                      sums + p * view_.rows * kTile, view_.step_stride(kTile));
      }
    }
  }

  const PartView& view_;
  LayerNeurons& neurons_;
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
