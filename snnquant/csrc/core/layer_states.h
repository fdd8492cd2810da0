// States of a part's neurons: given and wanted by the caller, or carried from chunk to chunk.
#pragma once

#include <cstdint>

#include "columns.h"
#include "isa_namespace.h"
#include "layer_parts.h"
#include "synapse.h"

namespace snnquant {
namespace SNNQUANT_ISA {

class LayerStates {
 public:
  LayerStates(const LayerCall& call, const PartSizes& size, Scratch& scratch)
      : call_(call), channels_(call.layer->shape.channels_out) {
    kept_ = call.steps > size.steps;
    for (int slot = 0; slot < state::count; ++slot) {
      carried_[slot] = scratch.take<int32_t>(size.positions * channels_);
      kept_ = kept_ || call.states_in[slot] != nullptr || call.states_out[slot] != nullptr;
    }
  }

  void begin_chunk(int64_t first, int64_t steps) {
    starts_ = first == 0;
    ends_ = first + steps == call_.steps;
  }

  // Whether any state goes from chunk to chunk, or from call to call.
  bool kept() const { return kept_; }
  bool starts() const { return starts_; }
  bool ends() const { return ends_; }

  // Where a state comes from and goes to in this chunk; null: initial values, or nobody wants it.
  const int32_t* source(state::Slot slot, int64_t position, int64_t local, int64_t channel) const {
    if (!call_.layer->has_state[slot]) return nullptr;
    if (!starts_) return destination_of_chunk(slot, position, local, channel);
    const int32_t* given = call_.states_in[slot];
    return given == nullptr ? nullptr : given + position * channels_ + channel;
  }
  int32_t* destination(state::Slot slot, int64_t position, int64_t local, int64_t channel) const {
    if (!call_.layer->has_state[slot]) return nullptr;
    if (ends_ && call_.states_out[slot] == nullptr) return nullptr;
    return destination_of_chunk(slot, position, local, channel);
  }

 private:
  int32_t* destination_of_chunk(state::Slot slot, int64_t position, int64_t local,
                                int64_t channel) const {
    int32_t* given = call_.states_out[slot];
    if (given != nullptr) return given + position * channels_ + channel;
    return carried_[slot] + local * channels_ + channel;
  }

  const LayerCall& call_;
  int64_t channels_;
  bool kept_, starts_ = true, ends_ = true;
  int32_t* carried_[state::count];
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
