// How a call is cut into parts, and the scratch memory that each needs.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "columns.h"
#include "events.h"
#include "gather.h"
#include "isa_namespace.h"
#include "synapse.h"
#include "tile_lif.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Most positions of a map of one row that one part holds; of other maps most rows, and positions of
// each.
constexpr int64_t kPositionsPerPart = 32;
constexpr int64_t kRowsPerPart = 8;
constexpr int64_t kWidestPart = 128;

inline int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The sizes of a call; a synapse that sees one position only takes all positions for one row.
inline MapShape rows_of(const LayerCall& call) {
  const MapShape& m = call.map;
  if (!call.layer->shape.one_position()) return m;
  const int64_t all = m.batch * m.in_y * m.in_x;
  return {1, 1, all, 1, all};
}

// Whether the inputs that one position sees lie side by side, so that it needs no list of rows.
inline bool lists_directly(const SizedSynapse& shape) {
  return shape.one_position() && shape.groups == 1;
}

struct Cut {
  int64_t batch, rows, row_blocks, columns, column_blocks;

  explicit Cut(const LayerCall& call) {
    const MapShape map = rows_of(call);
    batch = map.batch;
    const bool one_row = map.out_y == 1;
    columns = smaller_of(one_row ? kPositionsPerPart : kWidestPart, map.out_x);
    if (call.recurrent_weight != nullptr) columns = smaller_of(columns, 1);
    rows = smaller_of(kRowsPerPart, divide_up(map.out_y, 2));
    column_blocks = columns == 0 ? 0 : divide_up(map.out_x, columns);
    row_blocks = rows == 0 ? 0 : divide_up(map.out_y, rows);
  }
  int64_t parts() const { return batch * row_blocks * column_blocks; }
};

// Number of parts into which a call is cut; each may run on its own.
inline int64_t layer_parts(const LayerCall& call) { return Cut(call).parts(); }

inline Part part_of(const LayerCall& call, int64_t index) {
  const Cut cut(call);
  const MapShape map = rows_of(call);
  Part part = {};
  const int64_t column = index % cut.column_blocks;
  const int64_t row = index / cut.column_blocks % cut.row_blocks;
  part.batch = index / cut.column_blocks / cut.row_blocks;
  part.y0 = row * cut.rows;
  part.y1 = smaller_of(part.y0 + cut.rows, map.out_y);
  part.x0 = column * cut.columns;
  part.x1 = smaller_of(part.x0 + cut.columns, map.out_x);
  return part;
}

// Inputs along one axis that outputs first..last-1 see, padding included.
struct Reach {
  int64_t first, size;

  Reach(const Axis& axis, int64_t begin, int64_t end)
      : first(begin * axis.stride - axis.pad),
        size((end - begin - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1) {}
};

// Sizes of the pieces of scratch memory of one part.
struct PartSizes {
  int64_t steps;      // of a chunk
  int64_t positions;  // of a part
  int64_t channels;   // of a group, whole tiles
  int64_t rows_in, columns_in;
  int64_t list_capacity;  // events of one position
  int64_t row_capacity;   // events of one row of the input

  explicit PartSizes(const LayerCall& call) {
    const SizedSynapse& shape = call.layer->shape;
    const Cut cut(call);
    const int64_t all_steps = call.steps > 0 ? call.steps : 1;
    steps = smaller_of(all_steps, kStepChunk);
    positions = cut.rows * cut.columns;
    channels = shape.tiles() * kTile;
    rows_in = Reach(shape.y, 0, cut.rows > 0 ? cut.rows : 1).size;
    columns_in = Reach(shape.x, 0, cut.columns > 0 ? cut.columns : 1).size;
    list_capacity = shape.fan_in() + 2 * kEventSlack;
    // Counts above 1 make more events than inputs; rows with more than this are computed densely.
    row_capacity = columns_in * shape.channels_in + 2 * kEventSlack;
  }
};

// What neurons that run by their definition need.
inline int64_t definition_scratch_bytes(const LayerCall& call) {
  if (!call.layer->has_neuron) return 0;
  Problem neurons = {};
  neurons.neuron = call.layer->neuron;
  neurons.neurons = call.layer->shape.channels_out;
  neurons.recurrent_weight = call.recurrent_weight;
  int64_t most = 0;
  for (const bool narrow : {false, true}) {
    neurons.fits_int32 = narrow;
    most = larger(most, call.neurons->scratch_bytes(neurons));
  }
  return most;
}

// Bytes of scratch memory that a part needs. The pieces are taken by the constructors of LayerPart,
// LayerNeurons and LayerStates, and by run() of EventSums and DenseSums.
inline int64_t layer_scratch_bytes(const LayerCall& call) {
  const SizedSynapse& shape = call.layer->shape;
  const PackedWeights& weights = call.layer->weights;
  const PartSizes size(call);
  int64_t bytes = 64 * kCacheLine;
  bytes += size.steps * size.channels * 6 + size.channels * 2;  // sums in 16 and in 32 bits
  bytes += size.list_capacity * 2;
  if (weights.rows != nullptr && !lists_directly(shape)) {
    // Rows of the input that are listed at a time, and what is known of each.
    bytes += shape.y.kernel * size.steps * (size.row_capacity * 2 + (size.columns_in + 1) * 4);
    bytes += shape.y.kernel * 4 * static_cast<int64_t>(sizeof(int64_t));
  }
  // The padded map, and a tile of weights unpacked.
  bytes += size.steps * (size.rows_in * size.columns_in * shape.channels_in + kCacheLine);
  if (weights.bits != 8) bytes += weights.dense_groups * 4 * kTile;
  // Runs of inputs, membranes carried from chunk to chunk, and neurons that run as a Problem.
  bytes += shape.y.kernel * shape.x.kernel * static_cast<int64_t>(sizeof(Run));
  bytes += state::count * size.positions * shape.channels_out * 4;
  bytes += size.steps * (size.channels * 9 + kTile * 6) + state::count * size.channels * 8;
  bytes += definition_scratch_bytes(call);
  return bytes;
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
