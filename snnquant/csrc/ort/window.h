// Kernel windows as attributes give them, for convolutions and pooling.
#pragma once

#include <string>

#include "../core/synapse.h"
#include "tensor.h"

namespace snnquant {

struct Window {
  Axis y = {1, 1, 1, 0}, x = {1, 1, 1, 0};
  size_t axes = 0;

  const Axis& axis(size_t k) const { return k + 1 == axes ? x : y; }

  // Returns what is wrong with the lists, or nothing.
  std::string read(const Shape& kernel, const Shape& strides, const Shape& dilations,
                   const Shape& pads) {
    const size_t rank = kernel.size();
    if (rank < 1 || rank > 2 || strides.size() != rank || dilations.size() != rank ||
        pads.size() != 2 * rank) {
      return "its kernel_shape has " + std::to_string(rank) + ", strides " +
             std::to_string(strides.size()) + ", dilations " + std::to_string(dilations.size()) +
             " and pads " + std::to_string(pads.size()) +
             " values; they must be 1 or 2, as many, as many, and twice as many";
    }
    const auto read_axis = [&](size_t k) {
      return Axis{kernel[k], strides[k], dilations[k], pads[k], pads[rank + k]};
    };
    x = read_axis(rank - 1);
    if (rank == 2) y = read_axis(0);
    axes = rank;
    return "";
  }

  // Sets the sizes of a map whose axes begin at `first` of a shape; appends those of the output.
  void measure(const Shape& shape, size_t first, MapShape* map, Shape* out) const {
    map->in_y = map->in_x = map->out_y = map->out_x = 1;
    for (size_t k = 0; k < axes; ++k) {
      const bool is_x = k + 1 == axes;
      const int64_t size = axis(k).out_size(shape[first + k]);
      (is_x ? map->in_x : map->in_y) = shape[first + k];
      (is_x ? map->out_x : map->out_y) = size;
      out->push_back(size);
    }
  }
};

}  // namespace snnquant
