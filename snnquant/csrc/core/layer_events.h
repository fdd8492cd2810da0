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
    const SizedSynapse& shape = view_.shape;
    const Part& part = view_.part;
    list_ = scratch.take<uint16_t>(view_.size.list_capacity);
    if (kSilence) all16_ = scratch.take<int16_t>(view_.size.channels);
    direct_ = lists_directly(shape);
    if (!direct_) {
      columns_ = view_.size.columns_in;
      events_ = scratch.take<uint16_t>(shape.y.kernel * view_.rows * view_.size.row_capacity);
      starts_ = scratch.take<int32_t>(shape.y.kernel * view_.rows * (columns_ + 1));
      held_ = scratch.take<int64_t>(shape.y.kernel);
      seen_ = scratch.take<SeenRow>(shape.y.kernel);
      choose_columns();
    }
    for (int64_t group = 0; group < shape.groups; ++group) {
      rows_ = view_.weights.rows + group * (shape.fan_in() + 1) * view_.weights.row_bytes;
      for (int64_t k = 0; !direct_ && k < shape.y.kernel; ++k) held_[k] = kNothing;
      for (int64_t c = 0; kSilence && c < view_.size.channels; ++c) {
        all16_[c] = static_cast<int16_t>(sums_of_all(group)[c]);
      }
      for (int64_t y = part.y0; y < part.y1; ++y) {
        if (!direct_) see_rows(group, y);
        for (int64_t x = part.x0; x < part.x1; ++x) run_position(group, y, x);
      }
    }
  }

 private:
  static constexpr bool kSilence = listing == Listing::silence;
  static constexpr int64_t kNothing = INT64_MIN;

  void run_position(int64_t group, int64_t y, int64_t x) {
    const Covered covered = direct_ ? Covered{} : covered_by(x);
    int64_t active = 0;
    bool fits = true;
    for (int64_t t = 0; t < view_.rows && fits; ++t) {
      const EventList seen = list_position(t, x, covered);
      fits = fits_16_bits(seen.count);
      if (fits) add_up(t, seen);
      active += active_of(seen);
    }
    if (fits) {
      hand_over(y, x, group, active);
      return;
    }
    for (int64_t t = 0; t < view_.rows; ++t) add_up_long(t, group, list_position(t, x, covered));
    hand_over_long(y, x, group);
  }

  // Columns that the kernel of a position covers, among those that are listed.
  struct Covered {
    int64_t first, count;
    int64_t before;  // inputs from the first of the list to the first of the kernel
  };

  Covered covered_by(int64_t x) const {
    const SizedSynapse& shape = view_.shape;
    const int64_t first_x = x * shape.x.stride - shape.x.pad;
    const int64_t from = smaller_of(larger(first_x, begin_), end_);
    const int64_t to = larger(from, smaller_of(first_x + shape.x.kernel, end_));
    return {from - begin_, to - from, (first_x - begin_) * shape.group_in()};
  }

  // The events that a position sees at one step.
  SNNQUANT_INLINE EventList list_position(int64_t t, int64_t x, const Covered& covered) const {
    const SizedSynapse& shape = view_.shape;
    int64_t count;
    if (direct_) {
      count =
          list_events<listing>(view_.input(t, 0, x), shape.group_in(), shape.silent(), 0, list_);
    } else if (shape.x.dilation == 1) {
      count = collect_side_by_side(t, covered);
    } else {
      count = collect_apart(t, x);
    }
    return whole_blocks({list_, count, rows_}, static_cast<uint16_t>(shape.fan_in()));
  }

  // -- maps ----------------------------------------------------------------------------------

  // A row of the input under a row of the kernel, listed.
  struct SeenRow {
    const uint16_t* events;  // of the first step; those of the next lie row_capacity further
    const int32_t* starts;   // of the events of each column, and their end
    uint16_t place;          // what is added to its events: their row of the kernel
  };

  // Columns that are listed. Of silence, padding is a part.
  void choose_columns() {
    view_.columns(&begin_, &end_);
    if (!kSilence) return;
    const Reach reach(view_.shape.x, view_.part.x0, view_.part.x1);
    begin_ = reach.first;
    end_ = reach.first + reach.size;
  }

  // Lists the rows that a row of outputs sees, but those that the row before saw already.
  void see_rows(int64_t group, int64_t y) {
    const SizedSynapse& shape = view_.shape;
    const int64_t first_y = y * shape.y.stride - shape.y.pad;
    const int64_t top = view_.part.y0 * shape.y.stride - shape.y.pad;
    const bool reused = shape.y.dilation == 1;
    const int64_t kernel_row = shape.x.kernel * shape.group_in();
    seen_count_ = 0;
    for (int64_t ky = 0; ky < shape.y.kernel; ++ky) {
      const int64_t row = first_y + ky * shape.y.dilation;
      if (!kSilence && !view_.has_row(row)) continue;
      const int64_t slot = reused ? (row - top) % shape.y.kernel : ky;
      uint16_t* events = events_ + slot * view_.rows * view_.size.row_capacity;
      int32_t* starts = starts_ + slot * view_.rows * (columns_ + 1);
      if (held_[slot] != row) {
        held_[slot] = row;
        for (int64_t t = 0; t < view_.rows; ++t) {
          list_row(group, t, row, events + t * view_.size.row_capacity,
                   starts + t * (columns_ + 1));
        }
      }
      seen_[seen_count_++] = {events, starts, static_cast<uint16_t>(ky * kernel_row)};
    }
  }

  // Lists one row of the input at one step, column by column.
  void list_row(int64_t group, int64_t t, int64_t y, uint16_t* events, int32_t* starts) const {
    const SizedSynapse& shape = view_.shape;
    const int64_t channels = shape.group_in();
    // Of the first column of the map.
    const uint8_t* row = nullptr;
    if (view_.has_row(y) && begin_ < end_ && view_.map.in_x > 0) {
      row = view_.input(t, y, 0) + group * channels;
    }
    int64_t count = 0;
    for (int64_t x = begin_; x < end_; ++x) {
      *starts++ = static_cast<int32_t>(count);
      const auto place = static_cast<uint16_t>((x - begin_) * channels);
      if (row != nullptr && (!kSilence || view_.has_column(x))) {
        count += list_events<listing>(row + x * shape.channels_in, channels, shape.silent(), place,
                                      events + count);
      } else if (kSilence) {
        count += list_all(channels, place, events + count);
      }
    }
    *starts = static_cast<int32_t>(count);
  }

  // Copies together the events of columns that lie side by side.
  SNNQUANT_INLINE int64_t collect_side_by_side(int64_t t, const Covered& covered) const {
    const int64_t first = t * (columns_ + 1) + covered.first;
    const int64_t skipped = t * view_.size.row_capacity;
    // Copies: the events that are stored could change whatever a pointer leads to.
    const SeenRow* const last = seen_ + seen_count_;
    uint16_t* const list = list_;
    uint16_t* end = list;
    for (const SeenRow* row = seen_; row != last; ++row) {
      const int32_t* starts = row->starts + first;
      end += copy_events(row->events + skipped + starts[0], starts[covered.count] - starts[0],
                         static_cast<uint16_t>(row->place - covered.before), end);
    }
    return end - list;
  }

  // The same for columns of the kernel that lie apart.
  int64_t collect_apart(int64_t t, int64_t x) const {
    const SizedSynapse& shape = view_.shape;
    const int64_t first_x = x * shape.x.stride - shape.x.pad;
    int64_t count = 0;
    for (int64_t k = 0; k < seen_count_; ++k) {
      for (int64_t kx = 0; kx < shape.x.kernel; ++kx) {
        const int64_t column = first_x + kx * shape.x.dilation - begin_;
        if (column < 0 || column >= end_ - begin_) continue;
        const int32_t* starts = seen_[k].starts + t * (columns_ + 1) + column;
        const int64_t moved = (kx - column) * shape.group_in();
        count += copy_events(seen_[k].events + t * view_.size.row_capacity + starts[0],
                             starts[1] - starts[0], static_cast<uint16_t>(seen_[k].place + moved),
                             list_ + count);
      }
    }
    return count;
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
  SNNQUANT_INLINE void add_up(int64_t t, const EventList& list) {
    int16_t* sums = sums16_ + t * view_.size.channels;
    gather_events(view_.weights, list, view_.shape.tiles(), sums);
    if (!kSilence) return;
    const int16_t* all = all16_;
    const int64_t channels = view_.size.channels;
    SNNQUANT_INDEPENDENT_LOOP
    for (int64_t c = 0; c < channels; ++c) sums[c] = static_cast<int16_t>(all[c] - sums[c]);
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
  uint16_t* list_ = nullptr;       // of one position
  const uint8_t* rows_ = nullptr;  // of weights, of one group
  int16_t* all16_ = nullptr;       // sums of all weights, modulo 2**16
  bool direct_ = false;
  int64_t begin_ = 0, end_ = 0, columns_ = 0;
  // Rows of the input that are listed: [y.kernel][steps][row_capacity], and [columns_ + 1].
  uint16_t* events_ = nullptr;
  int32_t* starts_ = nullptr;
  int64_t* held_ = nullptr;  // which row each of the lists holds
  SeenRow* seen_ = nullptr;
  int64_t seen_count_ = 0;
};

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
