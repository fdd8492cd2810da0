// What happens to the sums of one tile: neurons in fast lanes, neurons by their definition, or
// none.
#pragma once

#include <cstdint>

#include "isa_namespace.h"
#include "layer_parts.h"
#include "layer_states.h"
#include "synapse.h"
#include "tile_lif.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Largest magnitude in a tile, whole or half.
inline int64_t largest_of(const int32_t* values, int64_t lanes) {
  int32_t low = 0, high = 0;
  for (int64_t n = 0; n < lanes; ++n) {
    low = smaller32(low, values[n]);
    high = larger32(high, values[n]);
  }
  return larger(-static_cast<int64_t>(low), high);
}

// Currents are 32-bit integers, whose sums wrap as they do in the unfused graph.
inline int32_t wrapped_sum(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}

// The neurons behind the sums of a part, chunk of steps by chunk.
class LayerNeurons {
 public:
  LayerNeurons(const LayerCall& call, const PartSizes& size, Scratch& scratch)
      : call_(call),
        layer_(*call.layer),
        shape_(call.layer->shape),
        lif_(kHasTiles ? call.layer->lif : nullptr),
        map_(rows_of(call)),
        positions_(map_.batch * map_.out_y * map_.out_x),
        narrow_(Arithmetic(problem_of(0))),
        states_(call, size, scratch) {
    for (int slot = 0; slot < state::count; ++slot) {
      states_in_[slot] = scratch.take<int32_t>(size.channels);
      states_out_[slot] = scratch.take<int32_t>(size.channels);
    }
    narrow_sums_ = scratch.take<int16_t>(size.steps * kTile);
    shifted_ = scratch.take<int32_t>(size.steps * kTile);
    currents_ = scratch.take<int32_t>(size.steps * size.channels);
    outputs_ = scratch.take<int32_t>(size.steps * size.channels);
    spikes_ = scratch.take<uint8_t>(size.steps * size.channels);
    definition_ = scratch.take<char>(definition_scratch_bytes(call));
    if (lif_ == nullptr) return;
    if (lif_->fits16) tile16_ = tile16_of(*lif_);
    limit16_ = smaller_of(INT16_MAX, lif_->limit);
  }

  // Steps first..first + steps - 1 come next.
  void begin_chunk(int64_t first, int64_t steps) {
    first_ = first;
    steps_ = steps;
    states_.begin_chunk(first, steps);
  }

  // Sums in 16 bits, as events give them; total: most that all steps of a channel add up to.
  // `local` counts positions within the part.
  void take(int64_t position, int64_t local, int64_t group, int64_t tile, const int16_t* sums,
            int64_t stride, int64_t total, int32_t* wide) {
    const TileLif* lif = lif_;
    if (tile16_ != nullptr && call_.residual == nullptr && lif->right == 0) {
      const int64_t rise = steps_ * lif->growth + (total << lif->left);
      if (!states_.kept()) {
        if (lif->start + rise <= limit16_) {
          tile16_(*lif, place(group, tile), steps_, sums, stride, {nullptr, nullptr},
                  spikes_of(position, group, tile));
          return;
        }
      } else {
        alignas(64) int32_t before[kTile], after[kTile];
        const TileMembranes v = membranes(position, local, group, tile, before, after);
        if (start_of(*lif, v) + rise <= limit16_) {
          tile16_(*lif, place(group, tile), steps_, sums, stride, v,
                  spikes_of(position, group, tile));
          finish(position, local, group, tile, v);
          return;
        }
      }
    }
    const int64_t rows = stride == 0 ? 1 : steps_, lanes = lanes_of(valid_channels(tile));
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t n = 0; n < lanes; ++n) wide[t * kTile + n] = sums[t * stride + n];
    }
    take(position, local, group, tile, wide, stride == 0 ? 0 : kTile);
  }

  // Sums in 32 bits; they may be changed.
  void take(int64_t position, int64_t local, int64_t group, int64_t tile, int32_t* sums,
            int64_t stride) {
    const TileLif* lif = lif_;
    if (lif != nullptr && (call_.residual == nullptr || shape_.gain_shift == 0)) {
      if (call_.residual != nullptr) add_residual(1, position, group, tile, sums, stride);
      const int64_t rows = stride == 0 ? 1 : steps_, lanes = lanes_of(valid_channels(tile));
      const int32_t* given = sums;
      int64_t given_stride = stride;
      if (lif->right != 0) {
        shift_right(*lif, place(group, tile), rows, lanes, sums, stride);
        given = shifted_;
        given_stride = stride == 0 ? 0 : kTile;
      }
      int64_t largest = 0;
      for (int64_t t = 0; t < rows; ++t)
        largest = larger(largest, largest_of(given + t * given_stride, lanes));
      alignas(64) int32_t before[kTile], after[kTile];
      const TileMembranes v = membranes(position, local, group, tile, before, after);
      const int64_t bound =
          start_of(*lif, v) + steps_ * lif->growth + ((steps_ * largest) << lif->left);
      const TileSpikes out = spikes_of(position, group, tile);
      if (tile16_ != nullptr && bound <= limit16_) {
        for (int64_t t = 0; t < rows; ++t) {
          for (int64_t n = 0; n < lanes; ++n) {
            narrow_sums_[t * kTile + n] = static_cast<int16_t>(given[t * given_stride + n]);
          }
        }
        tile16_(*lif, place(group, tile), steps_, narrow_sums_, stride == 0 ? 0 : kTile, v, out);
        finish(position, local, group, tile, v);
        return;
      }
      if (bound <= lif->limit) {
        tile32_of(*lif, bound)(*lif, narrow_, place(group, tile), steps_, given, given_stride, v,
                               out);
        finish(position, local, group, tile, v);
        return;
      }
      if (call_.residual != nullptr) add_residual(-1, position, group, tile, sums, stride);
    }
    const int64_t valid = valid_channels(tile);
    const int64_t first = channel(group, tile);
    const int32_t* bias = layer_.weights.biases + place(group, tile);
    const bool recurrent = call_.recurrent_weight != nullptr;
    const int64_t row = recurrent ? shape_.channels_out : valid;
    for (int64_t t = 0; t < steps_; ++t) {
      const int32_t* residual = residual_of(t, position, first);
      int32_t* current = currents_ + t * row + (recurrent ? first : 0);
      for (int64_t n = 0; n < valid; ++n) {
        current[n] = wrapped_sum(current_of(sums[t * stride + n], bias[n]),
                                 residual == nullptr ? 0 : residual[n]);
      }
    }
    if (recurrent) return;
    if (!layer_.has_neuron) {
      for (int64_t t = 0; t < steps_; ++t) {
        std::memcpy(call_.values + offset(t, position, first), currents_ + t * valid,
                    static_cast<size_t>(valid) * sizeof(int32_t));
      }
      return;
    }
    by_definition(position, local, first, valid);
  }

  // Runs the recurrent neurons of one position, whose sums were taken tile by tile.
  void run_recurrent(int64_t position) { by_definition(position, 0, 0, shape_.channels_out); }

  int32_t current_of(int32_t sum, int32_t bias) const {
    return wrapped_sum(static_cast<int32_t>(static_cast<uint32_t>(sum) << shape_.gain_shift), bias);
  }

  // First of a tile's places among the constants that are padded to whole tiles.
  int64_t place(int64_t group, int64_t tile) const { return shape_.first_place(group, tile); }
  int64_t valid_channels(int64_t tile) const {
    return smaller_of(kTile, shape_.tile_channels() - tile * kTile);
  }

 private:
  int64_t channel(int64_t group, int64_t tile) const {
    return group * shape_.tile_channels() + tile * kTile;
  }
  int64_t offset(int64_t t, int64_t position, int64_t channel) const {
    return ((first_ + t) * positions_ + position) * shape_.channels_out + channel;
  }
  const int32_t* residual_of(int64_t t, int64_t position, int64_t channel) const {
    return call_.residual == nullptr ? nullptr : call_.residual + offset(t, position, channel);
  }
  // Adds the residual current `sign` times.
  void add_residual(int32_t sign, int64_t position, int64_t group, int64_t tile, int32_t* sums,
                    int64_t stride) const {
    const int64_t valid = valid_channels(tile);
    for (int64_t t = 0; t < steps_; ++t) {
      const int32_t* residual = residual_of(t, position, channel(group, tile));
      for (int64_t n = 0; n < valid; ++n) {
        const auto added = static_cast<uint32_t>(sign) * static_cast<uint32_t>(residual[n]);
        sums[t * stride + n] = wrapped_sum(sums[t * stride + n], static_cast<int32_t>(added));
      }
    }
  }

  // Brings sums to the membrane's scale: the current of a tile, shifted to nearest.
  void shift_right(const TileLif& lif, int64_t place, int64_t rows, int64_t lanes,
                   const int32_t* sums, int64_t stride) const {
    const int32_t* bias = layer_.weights.biases + place;
    const int gain = shape_.gain_shift, right = lif.right;
    for (int64_t t = 0; t < rows; ++t) {
      const int32_t* from = sums + t * stride;
      int32_t* to = shifted_ + t * kTile;
      for (int64_t n = 0; n < lanes; ++n) {
        const auto current = static_cast<int32_t>((static_cast<uint32_t>(from[n]) << gain) +
                                                  static_cast<uint32_t>(bias[n]));
        to[n] = (current >> right) + ((current >> (right - 1)) & 1);
      }
    }
  }

  // Largest magnitude that a membrane starts from, or is reset to.
  int64_t start_of(const TileLif& lif, const TileMembranes& v) const {
    return v.before == nullptr ? lif.start : larger(lif.start, largest_of(v.before, kTile));
  }

  TileMembranes membranes(int64_t position, int64_t local, int64_t group, int64_t tile,
                          int32_t* before, int32_t* after) const {
    const int64_t valid = valid_channels(tile), first = channel(group, tile);
    const int32_t* from = states_.source(state::v, position, local, first);
    int32_t* to = states_.destination(state::v, position, local, first);
    if (valid == kTile) return {from, to};
    if (from != nullptr) {
      std::memset(before, 0, kTile * sizeof(int32_t));
      std::memcpy(before, from, static_cast<size_t>(valid) * sizeof(int32_t));
    }
    return {from == nullptr ? nullptr : before, to == nullptr ? nullptr : after};
  }

  // Stores what membranes() could not let the tile write in place, and a counter that stands still.
  void finish(int64_t position, int64_t local, int64_t group, int64_t tile,
              const TileMembranes& v) const {
    const int64_t valid = valid_channels(tile), first = channel(group, tile);
    const auto bytes = static_cast<size_t>(valid) * sizeof(int32_t);
    if (valid != kTile && v.after != nullptr) {
      std::memcpy(states_.destination(state::v, position, local, first), v.after, bytes);
    }
    int32_t* r = states_.destination(state::r, position, local, first);
    if (r == nullptr) return;
    const int32_t* before = states_.source(state::r, position, local, first);
    if (before == nullptr) {
      std::memset(r, 0, bytes);
    } else if (before != r) {
      std::memcpy(r, before, bytes);
    }
  }

  TileSpikes spikes_of(int64_t position, int64_t group, int64_t tile) const {
    return {call_.spikes + offset(0, position, channel(group, tile)),
            positions_ * shape_.channels_out, valid_channels(tile)};
  }

  // The neurons of some channels of one position; the arrays are filled in by the caller.
  Problem problem_of(int64_t neurons) const {
    Problem problem = {};
    problem.neuron = layer_.neuron;
    for (int slot = 0; slot < attribute::count; ++slot) {
      problem.attributes[slot] = layer_.attributes[slot];
    }
    problem.steps = steps_;
    problem.batch = 1;
    problem.neurons = neurons;
    return problem;
  }

  Constant part_of_constant(const Constant& all, int64_t first, int64_t count) const {
    if (all.values == nullptr) return all;
    const bool each = all.neurons_per_value == 1 && shape_.channels_out > 1;
    return {each ? all.values + first : all.values, each ? 1 : count};
  }

  void by_definition(int64_t position, int64_t local, int64_t first, int64_t count) {
    Problem problem = problem_of(count);
    problem.current = currents_;
    for (int slot = 0; slot < constant::count; ++slot) {
      problem.constants[slot] = part_of_constant(layer_.constants[slot], first, count);
    }
    for (int s = 0; s < state::count; ++s) {
      const state::Slot slot = static_cast<state::Slot>(s);
      problem.initial[slot] = part_of_constant(layer_.initial[slot], first, count);
      const int32_t* from = states_.source(slot, position, local, first);
      if (from != nullptr) {
        std::memcpy(states_in_[slot], from, static_cast<size_t>(count) * sizeof(int32_t));
        problem.states_in[slot] = states_in_[slot];
      }
      if (states_.destination(slot, position, local, first) != nullptr) {
        problem.states_out[slot] = states_out_[slot];
      }
    }
    const bool reads_out = call_.spikes == nullptr;
    problem.spikes = reads_out ? nullptr : spikes_;
    problem.membrane = reads_out ? outputs_ : nullptr;
    if (call_.recurrent_weight != nullptr) {
      problem.recurrent_weight = call_.recurrent_weight;
      problem.last_spikes_in = states_.starts() ? at(call_.last_spikes_in, position)
                                                : call_.spikes + offset(-1, position, 0);
      problem.last_spikes_out = states_.ends() ? at(call_.last_spikes_out, position) : nullptr;
    }
    call_.neurons->prepare(problem);
    call_.neurons->run(problem, 0, count, definition_);
    for (int64_t t = 0; t < steps_; ++t) {
      const int64_t to = offset(t, position, first);
      if (reads_out) {
        std::memcpy(call_.values + to, outputs_ + t * count,
                    static_cast<size_t>(count) * sizeof(int32_t));
      } else {
        std::memcpy(call_.spikes + to, spikes_ + t * count, static_cast<size_t>(count));
      }
    }
    for (int s = 0; s < state::count; ++s) {
      const state::Slot slot = static_cast<state::Slot>(s);
      int32_t* to = states_.destination(slot, position, local, first);
      if (to == nullptr) continue;
      std::memcpy(to, states_out_[slot], static_cast<size_t>(count) * sizeof(int32_t));
    }
  }

  template <class T>
  T* at(T* spikes, int64_t position) const {
    return spikes == nullptr ? nullptr : spikes + position * shape_.channels_out;
  }

  const LayerCall& call_;
  const Layer& layer_;
  const SizedSynapse& shape_;
  const TileLif* lif_;  // null: the neurons run by their definition
  MapShape map_;
  int64_t positions_;
  NarrowArithmetic narrow_;
  LayerStates states_;
  int64_t first_ = 0, steps_ = 0;
  Tile16 tile16_ = nullptr;  // null: the neurons never fit 16 bits
  int64_t limit16_ = 0;
  int32_t *states_in_[state::count], *states_out_[state::count];
  int16_t* narrow_sums_;
  int32_t* shifted_;
  int32_t *currents_, *outputs_;
  uint8_t* spikes_;
  char* definition_;  // scratch memory
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
