// A synapse: its geometry, its weights as the kernels read them, and one call of a fused layer.
//
// Maps are channels last: [steps][batch][y][x][channels]. A linear synapse is a convolution of one
// position whose batch lies along x, and so is every convolution that looks at one position only.
#pragma once

#include <cstdint>

#include "problem.h"

namespace snnquant {

// Output channels that a kernel computes together, on every instruction set.
constexpr int64_t kTile = 64;
// Of a tile that holds no more channels than this, only so many lanes are computed.
constexpr int64_t kHalfTile = kTile / 2;

// Lanes of a tile of so many channels that are computed.
inline int64_t lanes_of(int64_t channels) { return channels <= kHalfTile ? kHalfTile : kTile; }

struct Axis {
  int64_t kernel, stride, dilation, pad;  // pad: in front
  int64_t pad_behind = 0;

  // Size of the output, as ONNX has it for explicit padding.
  int64_t out_size(int64_t in) const {
    const int64_t room = in + pad + pad_behind - (kernel - 1) * dilation - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
  // What the kernel of one output sees at places inside the map: [first, end) of its taps.
  void taps_inside(int64_t out, int64_t in, int64_t* first, int64_t* end) const {
    const int64_t start = out * stride - pad;
    // How many taps lie on so many places; most often without a division.
    const auto taps = [this](int64_t places) {
      return dilation == 1 ? places : (places + dilation - 1) / dilation;
    };
    *first = start < 0 ? taps(-start) : 0;
    const int64_t until = start < in ? taps(in - start) : 0;
    *end = until < kernel ? until : kernel;
  }
};

// What is known when a node is created.
struct SynapseShape {
  Axis y, x;
  int64_t channels_in, channels_out, groups;
  int32_t zero_point;  // the input that counts as 0
  int32_t gain_shift;  // sums are multiplied by a power of two

  uint8_t silent() const { return static_cast<uint8_t>(zero_point); }
  int64_t group_in() const { return channels_in / groups; }
  int64_t group_out() const { return channels_out / groups; }
  int64_t fan_in() const { return y.kernel * x.kernel * group_in(); }
  // Groups of a few channels (as depthwise) lie side by side in a tile; others have own tiles.
  bool narrow() const { return groups > 1 && group_out() < 16; }
  int64_t tile_groups() const { return narrow() ? 1 : groups; }
  int64_t tile_channels() const { return narrow() ? channels_out : group_out(); }
  int64_t tiles() const { return (tile_channels() + kTile - 1) / kTile; }
  int64_t places() const { return tile_groups() * tiles() * kTile; }
  // Of an output channel, among the constants that are padded to whole tiles.
  int64_t place_of(int64_t channel) const {
    return first_place(channel / tile_channels(), 0) + channel % tile_channels();
  }
  int64_t first_place(int64_t group, int64_t tile) const {
    return (group * tiles() + tile) * kTile;
  }
  // The inputs of a row of the kernel lie side by side.
  bool joins_columns() const { return x.dilation == 1 && groups == 1; }
  // Outputs see the input at their own place and nothing else, and there is one for each input.
  bool one_position() const {
    const auto alone = [](const Axis& a) {
      return a.kernel == 1 && a.stride == 1 && a.pad == 0 && a.pad_behind == 0;
    };
    return alone(y) && alone(x);
  }
};

// The same with its sizes worked out: they are asked for so often that divisions would cost more
// than what is done with the results.
class SizedSynapse : public SynapseShape {
 public:
  SizedSynapse() : SizedSynapse(SynapseShape{{1, 1, 1, 0}, {1, 1, 1, 0}, 1, 1, 1, 0, 0}) {}
  explicit SizedSynapse(const SynapseShape& shape)
      : SynapseShape(shape),
        group_in_(shape.group_in()),
        fan_in_(shape.fan_in()),
        tile_channels_(shape.tile_channels()),
        tiles_(shape.tiles()) {}

  int64_t group_in() const { return group_in_; }
  int64_t fan_in() const { return fan_in_; }
  int64_t tile_channels() const { return tile_channels_; }
  int64_t tiles() const { return tiles_; }
  int64_t first_place(int64_t group, int64_t tile) const { return (group * tiles_ + tile) * kTile; }

 private:
  int64_t group_in_, fan_in_, tile_channels_, tiles_;
};

// Weights in the order in which kernels read them; layer.cc writes them.
struct PackedWeights {
  int32_t bits;  // 8, 4 or 2: the width at which `dense` and `rows` hold a weight
  // [groups][tiles][group of four inputs][kTile channels][4]: what dot products read. The weights
  // of one run of inputs (see Run) fill whole groups of four.
  const uint8_t* dense;
  // [groups][fan_in + 1][tiles][kTile channels]: one row per input, the last one all zeros; null
  // where events cannot be counted in 16 bits. Each tile's channels are interleaved (row_place).
  const uint8_t* rows;
  // [kernel positions][group_in][channels_out]: of narrow groups, which have nothing else.
  const int8_t* narrow;
  const int32_t* sums;    // [places] sum of the weights of each channel
  const int32_t* biases;  // [places]
  int64_t dense_groups;   // groups of four inputs per tile
  int64_t tile_bytes, row_bytes;
  int32_t largest;      // largest magnitude of a weight
  bool sums_fit_int16;  // no subset of one channel's weights sums up beyond 16 bits
};

// Inputs that lie side by side, whose weights fill whole groups of four.
struct Run {
  int64_t offset;  // bytes from the first input that the kernel sees
  int64_t length;
};

// Where channel c of a tile lies in a row of 8-bit weights: even bytes hold the first half of the
// channels, odd bytes the second, so that 16-bit lanes add up two channels at once.
inline int64_t row_place(int64_t c) { return c < kTile / 2 ? 2 * c : 2 * (c - kTile / 2) + 1; }

// Sizes of one call.
struct MapShape {
  int64_t batch;
  int64_t in_y, in_x, out_y, out_x;
};

// A fused layer: a synapse, and the neurons that it feeds (or none).
struct Layer {
  SizedSynapse shape;
  PackedWeights weights;
  bool has_neuron;
  neuron::Slot neuron;
  int32_t attributes[attribute::count];
  Constant constants[constant::count];  // per layer, or per output channel
  Constant initial[state::count];
  bool has_state[state::count];
  const struct TileLif* lif;  // prepared constants; null: neurons run by their definition
};

// One call. Arrays are channels last; states are [batch][out_y][out_x][channels].
struct LayerCall {
  const Layer* layer;
  const Kernels* neurons;  // run what does not fit the fast lanes
  MapShape map;
  int64_t steps;
  bool is_static;  // the input has no time axis
  const uint8_t* input;
  const int32_t* residual;  // null: none
  const int32_t* recurrent_weight;
  const int32_t* states_in[state::count];
  int32_t* states_out[state::count];
  const uint8_t* last_spikes_in;
  uint8_t* last_spikes_out;
  uint8_t* spikes;  // null for a read-out and for a synapse alone
  int32_t* values;  // membranes of a read-out, or the currents of a synapse alone
};

// A part of a call: some rows, some positions of each.
struct Part {
  int64_t batch, y0, y1, x0, x1;
};

// The kernels of fused layers, compiled once per instruction set.
struct LayerKernels {
  // How many parts a call has; each may run on its own.
  int64_t (*parts)(const LayerCall& call);
  // Bytes of scratch memory that each concurrent run() needs.
  int64_t (*scratch_bytes)(const LayerCall& call);
  void (*run)(const LayerCall& call, int64_t part, void* scratch);
};

}  // namespace snnquant
