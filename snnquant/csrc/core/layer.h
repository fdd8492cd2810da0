// A fused layer made ready to run: weights packed, constants of its neurons laid out.
#pragma once

#include <cstdint>
#include <vector>

#include "synapse.h"
#include "tile_lif.h"

namespace snnquant {

// What a node holds, as the op gives it.
struct LayerSource {
  SynapseShape shape;
  int32_t weight_bits;
  const uint8_t* weight;  // [channels_out][fan_in * weight_bits / 8, rounded up]
  const int32_t* bias;    // [channels_out]
  bool has_neuron;
  bool recurrent;
  neuron::Slot neuron;
  int32_t attributes[attribute::count];
  Constant constants[constant::count];
  Constant initial[state::count];
  bool has_state[state::count];
};

// Owns everything that its layer points to but the constants of the source.
class PreparedLayer {
 public:
  explicit PreparedLayer(const LayerSource& source);
  PreparedLayer(const PreparedLayer&) = delete;
  PreparedLayer& operator=(const PreparedLayer&) = delete;
  const Layer& layer() const { return layer_; }

 private:
  void pack_weights(const LayerSource& source);
  void pack_dense(const LayerSource& source);
  void pack_rows(const LayerSource& source);
  void pack_narrow(const LayerSource& source);
  void prepare_lif(const LayerSource& source);
  uint8_t* take(std::vector<uint8_t>* storage, int64_t bytes);

  Layer layer_ = {};
  TileLif lif_ = {};
  std::vector<uint8_t> dense_, rows_, narrow_;
  std::vector<int32_t> sums_, biases_;
  std::vector<int16_t> lanes16_;
  std::vector<int32_t> lanes32_;
};

}  // namespace snnquant
