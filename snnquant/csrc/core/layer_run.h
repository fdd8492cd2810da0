// A fused layer: which way the sums of a part are computed, chunk of steps by chunk.
#pragma once

#include <cstdint>

#include "isa_namespace.h"
#include "layer_dense.h"
#include "layer_events.h"
#include "layer_narrow.h"
#include "layer_neurons.h"
#include "layer_view.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// What sums cost, in tenths of the time that one input of one tile takes in a dot product; measured
// by tests/bench/crossover.py.
struct SumCosts {
  int64_t listed;  // a run of up to 64 inputs whose events are listed
  int64_t copied;  // a run of events that is copied to the list of a position
  int64_t event;   // an event, per tile
  int64_t dense;   // an input, per tile
};
#if defined(SNNQUANT_COSTS)
constexpr SumCosts kCosts = SNNQUANT_COSTS;
#elif defined(SNNQUANT_AVX512VNNI)
constexpr SumCosts kCosts = {140, 100, 36, 10};
#elif defined(SNNQUANT_AVX2) || defined(SNNQUANT_NEON_DOT)
constexpr SumCosts kCosts = {160, 100, 44, 30};
#else
constexpr SumCosts kCosts = {300, 160, 60, 160};
#endif

class LayerPart {
 public:
  LayerPart(const LayerCall& call, const Part& part, void* memory)
      : view_(call, part), scratch_(memory), neurons_(call, view_.size, scratch_) {
    sums16_ = scratch_.take<int16_t>(view_.size.steps * view_.size.channels);
    sums_ = scratch_.take<int32_t>(view_.size.steps * view_.size.channels);
  }

  void run() {
    const LayerCall& call = view_.call;
    for (int64_t first = 0; first < call.steps; first += view_.size.steps) {
      view_.begin_chunk(first);
      neurons_.begin_chunk(first, view_.steps);
      add_up();
      // A part of a recurrent layer is one position, all of whose channels see each other.
      if (call.recurrent_weight != nullptr) {
        neurons_.run_recurrent(view_.position(view_.part.y0, view_.part.x0));
      }
    }
  }

 private:
  void add_up() {
    if (view_.weights.narrow != nullptr) {
      NarrowSums(view_, neurons_, sums_).run();
      return;
    }
    const Activity seen = view_.look();
    if (can_list(seen) && events_pay(seen, seen.events)) {
      if (seen.largest <= 1) {
        run_events<Listing::spikes>();
      } else {
        run_events<Listing::counts>();
      }
    } else if (can_list(seen) && seen.largest <= 1 && events_pay(seen, seen.inputs - seen.events)) {
      run_events<Listing::silence>();
    } else {
      const int64_t largest =
          any_below_zero(seen) ? UINT8_MAX : seen.largest + view_.shape.zero_point;
      DenseSums(view_, neurons_).run(scratch_, largest);
    }
  }

  // Whether listing and adding up so many of the inputs is faster than dot products with all.
  bool events_pay(const Activity& seen, int64_t events) const {
    const SizedSynapse& shape = view_.shape;
    // Rows of the kernel that lie apart are listed anew for each row of outputs.
    const int64_t rows_listed = shape.y.dilation == 1 ? shape.y.stride : shape.y.kernel;
    const int64_t runs = rows_listed * shape.x.stride * divide_up(shape.group_in(), 64);
    const int64_t apart = shape.x.dilation == 1 ? 1 : shape.x.kernel;
    const int64_t copies = lists_directly(shape) ? 0 : shape.y.kernel * apart;
    const double share = static_cast<double>(events) / static_cast<double>(larger(seen.inputs, 1));
    const auto all = static_cast<double>(shape.tiles() * shape.fan_in());
    const int64_t before_last = (shape.tiles() - 1) * kTile;
    const int64_t lanes = before_last + lanes_of(shape.tile_channels() - before_last);
    const double dots = static_cast<double>(lanes * view_.weights.dense_groups * 4) / kTile;
    const double listing = static_cast<double>(kCosts.listed * runs + kCosts.copied * copies);
    return listing + static_cast<double>(kCosts.event) * share * all <
           static_cast<double>(kCosts.dense) * dots;
  }

  template <Listing listing>
  void run_events() {
    EventSums<listing>(view_, neurons_, sums16_, sums_).run(scratch_);
  }

  // Whether an input is below the one that counts as 0, and the census has wrapped.
  bool any_below_zero(const Activity& seen) const {
    return seen.largest > UINT8_MAX - view_.shape.zero_point;
  }

  // Whether the lists of events have room, and their entries enough bits.
  bool can_list(const Activity& seen) const {
    const SizedSynapse& shape = view_.shape;
    if (view_.weights.rows == nullptr || any_below_zero(seen)) return false;
    if (shape.fan_in() + view_.size.columns_in * shape.group_in() > UINT16_MAX) return false;
    if (seen.largest <= 1) return true;
    // Counts make more events than there are inputs.
    return seen.most_in_row <= view_.size.columns_in * shape.channels_in &&
           seen.most_in_row * shape.y.kernel <= shape.fan_in();
  }

  PartView view_;
  Scratch scratch_;
  LayerNeurons neurons_;
  int16_t* sums16_;
  int32_t* sums_;
};

inline void run_layer_part(const LayerCall& call, int64_t index, void* scratch) {
  LayerPart(call, part_of(call, index), scratch).run();
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
