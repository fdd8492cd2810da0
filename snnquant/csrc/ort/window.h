// Kernel windows as attributes give them, for convolutions and pooling.
#pragma once

#include <string>

#include "../core/synapse.h"
#include "tensor.h"

namespace snnquant {

struct Window {
  Axis y = {1, 1, 1, 0}, x = {1, 1, 1, 0};
  Shape pads_behind;  // per axis, y first where there are two

  size_t axes() const { return pads_behind.size(); }

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
    const auto axis = [&](size_t k) { return Axis{kernel[k], strides[k], dilations[k], pads[k]}; };
    x = axis(rank - 1);
    if (rank == 2) y = axis(0);
    pads_behind.assign(pads.begin() + static_cast<int64_t>(rank), pads.end());
    return "";
  }

  // Size of an output axis, as ONNX has it for explicit padding.
  int64_t out_size(size_t axis, int64_t in) const {
    const Axis& a = axis + 1 == axes() ? x : y;
    const int64_t room = in + a.pad + pads_behind[axis] - (a.kernel - 1) * a.dilation - 1;
    return room < 0 ? 0 : room / a.stride + 1;
  }

  // Sets the sizes of a map whose axes begin at `first` of a shape; appends those of the output.
  void measure(const Shape& shape, size_t first, MapShape* map, Shape* out) const {
    map->in_y = map->in_x = map->out_y = map->out_x = 1;
    for (size_t k = 0; k < axes(); ++k) {
      const bool is_x = k + 1 == axes();
      const int64_t size = out_size(k, shape[first + k]);
      (is_x ? map->in_x : map->in_y) = shape[first + k];
      (is_x ? map->out_x : map->out_y) = size;
      out->push_back(size);
    }
  }
};

}  // namespace snnquant
