// What a part of a call looks at, chunk of steps by chunk.
#pragma once

#include <cstdint>

#include "events.h"
#include "isa_namespace.h"
#include "layer_parts.h"
#include "synapse.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// What the inputs of a part look like; `largest` as in Census.
struct Activity {
  int64_t events, inputs;
  int64_t most_in_row;
  uint8_t largest;
};

struct PartView {
  const LayerCall& call;
  const SizedSynapse& shape;
  const PackedWeights& weights;
  const MapShape map;
  const Part part;
  const PartSizes size;
  int64_t first = 0, steps = 0;  // of this chunk
  int64_t rows = 0;              // steps of inputs: one where they are static

  PartView(const LayerCall& the_call, const Part& the_part)
      : call(the_call),
        shape(the_call.layer->shape),
        weights(the_call.layer->weights),
        map(rows_of(the_call)),
        part(the_part),
        size(the_call) {}

  void begin_chunk(int64_t first_step) {
    steps = smaller_of(size.steps, call.steps - first_step);
    first = call.is_static ? 0 : first_step;
    rows = call.is_static ? 1 : steps;
  }

  // Inputs of one step of this chunk, at the first channel of a row's column.
  const uint8_t* input(int64_t t, int64_t y, int64_t x) const {
    const int64_t row = ((first + t) * map.batch + part.batch) * map.in_y + y;
    return call.input + (row * map.in_x + x) * shape.channels_in;
  }
  int64_t position(int64_t y, int64_t x) const {
    return (part.batch * map.out_y + y) * map.out_x + x;
  }
  // Counted within the part.
  int64_t local(int64_t y, int64_t x) const {
    return (y - part.y0) * (part.x1 - part.x0) + x - part.x0;
  }
  // Distance of the sums of two steps that lie so far apart.
  int64_t step_stride(int64_t distance) const { return call.is_static ? 0 : distance; }

  bool has_row(int64_t y) const { return y >= 0 && y < map.in_y; }
  bool has_column(int64_t x) const { return x >= 0 && x < map.in_x; }

  // Columns of the input map that the part sees: [begin, end), padding left out.
  void columns(int64_t* begin, int64_t* end) const {
    const Reach reach(shape.x, part.x0, part.x1);
    *begin = larger(reach.first, 0);
    *end = larger(*begin, smaller_of(reach.first + reach.size, map.in_x));
  }

  Activity look() const {
    Activity seen = {};
    int64_t begin, end;
    columns(&begin, &end);
    const Reach reach(shape.y, part.y0, part.y1);
    const int64_t inputs = (end - begin) * shape.channels_in;
    for (int64_t t = 0; t < rows && inputs > 0; ++t) {
      for (int64_t y = larger(reach.first, 0); y < smaller_of(reach.first + reach.size, map.in_y);
           ++y) {
        const Census row = count_events(input(t, y, begin), inputs, shape.silent());
        seen.largest = row.largest > seen.largest ? row.largest : seen.largest;
        seen.events += row.events;
        seen.inputs += inputs;
        seen.most_in_row = larger(seen.most_in_row, row.events);
      }
    }
    return seen;
  }
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
