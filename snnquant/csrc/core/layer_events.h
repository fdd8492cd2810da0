// Sums of a part from events: the weight rows of the active inputs, or of the silent ones where
// these are fewer, since all weights of a channel add up to a number that is known.
#pragma once

#include <cstdint>

#include "events.h"
#include "gather.h"
#include "isa_namespace.h"
#include "layer_neurons.h"
#include "layer_view.h"

namespace snnquant {
namespace SNNQUANT_ISA {

template <Listing listing>
class EventSums {
 public:
  // Sums: [steps][channels] each.
  EventSums(const PartView& view, LayerNeurons& neurons, int16_t* sums16, int32_t* sums)
      : view_(view), neurons_(neurons), sums16_(sums16), sums_(sums) {}

  void run(Scratch scratch) {
    const SynapseShape& shape = view_.shape;
    const Part& part = view_.part;
    if (shape.one_position() && shape.groups == 1) {
      uint16_t* list = scratch.take<uint16_t>(view_.size.list_capacity);
      for (int64_t x = part.x0; x < part.x1; ++x) run_position(x, list);
      return;
    }
    choose_columns();
    capacity_ = view_.size.row_capacity;
    events_ = scratch.take<uint16_t>(view_.size.steps * capacity_);
    starts_ = scratch.take<int32_t>(view_.size.steps * (view_.size.columns_in + 1));
    collected_ = scratch.take<uint16_t>(view_.size.steps * view_.size.list_capacity);
    for (int64_t group = 0; group < shape.groups; ++group) {
      for (int64_t y = part.y0; y < part.y1; ++y) run_row(group, y);
    }
  }

 private:
  static constexpr bool kSilence = listing == Listing::silence;

  EventList list_of(int64_t group, uint16_t* events, int64_t count, int64_t shift) const {
    const int64_t row_bytes = view_.weights.row_bytes, fan_in = view_.shape.fan_in();
    const uint8_t* rows = view_.weights.rows + group * (fan_in + 1) * row_bytes;
    const auto moved = static_cast<uintptr_t>(shift * row_bytes);
    return {events, count, reinterpret_cast<uintptr_t>(rows) - moved,
            static_cast<uint16_t>(fan_in + shift)};
  }

  // -- a position that sees nothing but its own channels ---------------------------------------

  EventList list_position(int64_t t, int64_t x, uint16_t* list) const {
    const int64_t channels = view_.shape.channels_in;
    return list_of(
        0, list,
        list_events<listing>(view_.input(t, 0, x), channels, view_.shape.silent(), 0, list), 0);
  }

  void run_position(int64_t x, uint16_t* list) {
    int64_t active = 0;
    bool fits = true;
    for (int64_t t = 0; t < view_.rows && fits; ++t) {
      const EventList seen = list_position(t, x, list);
      fits = fits_16_bits(seen.count);
      if (fits) add_up(t, 0, seen);
      active += active_of(seen);
    }
    if (fits) {
      hand_over(0, x, 0, active);
      return;
    }
    for (int64_t t = 0; t < view_.rows; ++t) add_up_long(t, 0, list_position(t, x, list));
    hand_over_long(0, x, 0);
  }

  // -- maps ----------------------------------------------------------------------------------

  // Of silence, padding is a part.
  void choose_columns() {
    view_.columns(&begin_, &end_);
    if (!kSilence) return;
    const Reach reach(view_.shape.x, view_.part.x0, view_.part.x1);
    begin_ = reach.first;
    end_ = reach.first + reach.size;
  }

  void run_row(int64_t group, int64_t y) {
    for (int64_t t = 0; t < view_.rows; ++t) list_row(group, t, y);
    EventList lists[kStepChunk];
    for (int64_t x = view_.part.x0; x < view_.part.x1; ++x) {
      if (view_.shape.x.dilation == 1) {
        see_columns(group, x, lists);
      } else {
        collect_columns(group, x, lists);
      }
      int64_t active = 0;
      bool fit = true;
      for (int64_t t = 0; t < view_.rows; ++t) {
        active += active_of(lists[t]);
        fit = fit && fits_16_bits(lists[t].count);
      }
      if (fit) {
        for (int64_t t = 0; t < view_.rows; ++t) add_up(t, group, lists[t]);
        hand_over(y, x, group, active);
      } else {
        for (int64_t t = 0; t < view_.rows; ++t) add_up_long(t, group, lists[t]);
        hand_over_long(y, x, group);
      }
    }
  }

  // Lists what one row of outputs sees at one step, column by column. Event e of column x is a
  // place among the inputs of a position whose kernel begins at that column, plus x columns.
  void list_row(int64_t group, int64_t t, int64_t y) {
    const SynapseShape& shape = view_.shape;
    const int64_t channels = shape.group_in(), kernel_row = shape.x.kernel * channels;
    const int64_t first_y = y * shape.y.stride - shape.y.pad;
    // Rows of the kernel that lie inside the map.
    int64_t from = 0, to = shape.y.kernel;
    while (from < to && !view_.has_row(first_y + from * shape.y.dilation)) ++from;
    while (to > from && !view_.has_row(first_y + (to - 1) * shape.y.dilation)) --to;
    uint16_t* const events = events_ + t * capacity_;
    int32_t* starts = starts_ + t * (view_.size.columns_in + 1);
    const int64_t down = shape.y.dilation * view_.map.in_x * shape.channels_in;
    // Of the first column of the map, in the first row that is seen.
    const uint8_t* row = nullptr;
    if (from < to && begin_ < end_ && view_.map.in_x > 0) {
      row = view_.input(t, first_y + from * shape.y.dilation, 0) + group * channels;
    }
    int64_t count = 0;
    for (int64_t x = begin_; x < end_; ++x) {
      *starts++ = static_cast<int32_t>(count);
      const int64_t before = (x - begin_) * channels;
      const bool inside = !kSilence || view_.has_column(x);
      if (kSilence) {
        count += list_padding(before, inside ? from : shape.y.kernel, to, events + count);
      }
      if (!inside || row == nullptr) continue;
      const uint8_t* column = row + x * shape.channels_in;
      for (int64_t ky = from; ky < to; ++ky, column += down) {
        const auto place = static_cast<uint16_t>(before + ky * kernel_row);
        count += list_events<listing>(column, channels, shape.silent(), place, events + count);
      }
    }
    *starts = static_cast<int32_t>(count);
  }

  // Lists the rows of the kernel 0..from-1 and to.. of one column, which padding fills.
  int64_t list_padding(int64_t before, int64_t from, int64_t to, uint16_t* out) const {
    const int64_t channels = view_.shape.group_in();
    int64_t count = 0;
    for (int64_t ky = 0; ky < view_.shape.y.kernel; ++ky) {
      if (ky >= from && ky < to) continue;
      const auto place = static_cast<uint16_t>(before + ky * view_.shape.x.kernel * channels);
      count += list_all(channels, place, out + count);
    }
    return count;
  }

  // The events of one position, for each step: those of the columns that its kernel covers.
  void see_columns(int64_t group, int64_t x, EventList* lists) const {
    const SynapseShape& shape = view_.shape;
    const int64_t first_x = x * shape.x.stride - shape.x.pad;
    const int64_t from = smaller_of(larger(first_x, begin_), end_);
    const int64_t to = larger(from, smaller_of(first_x + shape.x.kernel, end_));
    const EventList any = list_of(group, nullptr, 0, (first_x - begin_) * shape.group_in());
    for (int64_t t = 0; t < view_.rows; ++t) {
      const int32_t* starts = starts_ + t * (view_.size.columns_in + 1);
      lists[t] = any;
      lists[t].events = events_ + t * capacity_ + starts[from - begin_];
      lists[t].count = starts[to - begin_] - starts[from - begin_];
    }
  }

  // The same for columns that lie apart, which are copied together.
  void collect_columns(int64_t group, int64_t x, EventList* lists) const {
    const SynapseShape& shape = view_.shape;
    const int64_t first_x = x * shape.x.stride - shape.x.pad, channels = shape.group_in();
    for (int64_t t = 0; t < view_.rows; ++t) {
      uint16_t* out = collected_ + t * view_.size.list_capacity;
      int64_t count = 0;
      for (int64_t kx = 0; kx < shape.x.kernel; ++kx) {
        const int64_t column = first_x + kx * shape.x.dilation - begin_;
        if (column < 0 || column >= end_ - begin_) continue;
        const auto moved = static_cast<uint16_t>((kx - column) * channels);
        const int32_t* starts = starts_ + t * (view_.size.columns_in + 1) + column;
        for (int64_t k = starts[0]; k < starts[1]; ++k) {
          out[count++] = static_cast<uint16_t>(events_[t * capacity_ + k] + moved);
        }
      }
      lists[t] = list_of(group, out, count, 0);
    }
  }

  // -- sums ----------------------------------------------------------------------------------

  int64_t active_of(const EventList& list) const {
    return kSilence ? view_.shape.fan_in() - list.count : list.count;
  }

  // Whether sums over so many events, and what is left of all weights, fit 16 bits.
  bool fits_16_bits(int64_t events) const {
    if (kSilence) return view_.weights.sums_fit_int16;
    const bool once = listing == Listing::spikes;
    return events <= kSafeEvents || (once && view_.weights.sums_fit_int16);
  }

  const int32_t* sums_of_all(int64_t group) const {
    return view_.weights.sums + neurons_.place(group, 0);
  }

  // Sums of all tiles at one step.
  SNNQUANT_INLINE void add_up(int64_t t, int64_t group, const EventList& list) {
    int16_t* sums = sums16_ + t * view_.size.channels;
    gather_events(view_.weights, list, view_.shape.tiles(), sums);
    if (!kSilence) return;
    const int32_t* all = sums_of_all(group);
    for (int64_t c = 0; c < view_.size.channels; ++c) {
      sums[c] = static_cast<int16_t>(all[c] - sums[c]);
    }
  }

  // The same for many events: as many as are safe in 16 bits at a time, added up in 32 bits.
  void add_up_long(int64_t t, int64_t group, EventList list) {
    int32_t* total = sums_ + t * view_.size.channels;
    const int64_t channels = view_.size.channels;
    for (int64_t c = 0; c < channels; ++c) total[c] = kSilence ? sums_of_all(group)[c] : 0;
    for (int64_t left = list.count; left > 0; left -= kSafeEvents) {
      list.count = smaller_of(left, kSafeEvents);
      gather_events(view_.weights, list, view_.shape.tiles(), sums16_);
      for (int64_t c = 0; c < channels; ++c) total[c] += kSilence ? -sums16_[c] : sums16_[c];
      list.events += kSafeEvents;
    }
  }

  // Gives the sums of all tiles of one position to the neurons; `active` inputs made them.
  void hand_over(int64_t y, int64_t x, int64_t group, int64_t active) {
    const int64_t stride = view_.step_stride(view_.size.channels);
    const int64_t repeats = view_.call.is_static ? view_.steps : 1;
    const int64_t total = repeats * active * view_.weights.largest;
    const int64_t here = view_.position(y, x), inside = view_.local(y, x);
    for (int64_t tile = 0; tile < view_.shape.tiles(); ++tile) {
      neurons_.take(here, inside, group, tile, sums16_ + tile * kTile, stride, total, sums_);
    }
  }
  void hand_over_long(int64_t y, int64_t x, int64_t group) {
    const int64_t stride = view_.step_stride(view_.size.channels);
    for (int64_t tile = 0; tile < view_.shape.tiles(); ++tile) {
      neurons_.take(view_.position(y, x), view_.local(y, x), group, tile, sums_ + tile * kTile,
                    stride);
    }
  }

  const PartView& view_;
  LayerNeurons& neurons_;
  int16_t* sums16_;
  int32_t* sums_;
  int64_t begin_ = 0, end_ = 0;  // columns that are listed
  int64_t capacity_ = 0;
  uint16_t *events_ = nullptr, *collected_ = nullptr;
  int32_t* starts_ = nullptr;  // of the events of each column, and their end; per step
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
