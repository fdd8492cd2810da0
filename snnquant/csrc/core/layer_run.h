// Fused layers: the sums of a part's positions, from events or densely, handed to the neurons.
#pragma once

#include <cstdint>

#include "dot.h"
#include "events.h"
#include "gather.h"
#include "isa_namespace.h"
#include "layer_neurons.h"
#include "layer_parts.h"
#include "narrow_groups.h"
#include "synapse.h"
#include "unpack.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// Above this share of active inputs dot products are faster than events; measured by
// tests/bench/crossover.py.
#if defined(SNNQUANT_AVX512VNNI)
constexpr int64_t kEventPercent = 30;
#else
constexpr int64_t kEventPercent = 40;
#endif

// What the inputs of a part look like.
struct Activity {
  int64_t events, inputs;
  int64_t most_in_row;
  uint8_t largest;
};

class LayerPart {
 public:
  LayerPart(const LayerCall& call, const Part& part, void* memory)
      : call_(call),
        shape_(call.layer->shape),
        weights_(call.layer->weights),
        map_(rows_of(call)),
        part_(part),
        size_(call),
        scratch_(memory),
        neurons_(call, size_, scratch_) {
    sums16_ = scratch_.take<int16_t>(size_.steps * size_.channels);
    sums_ = scratch_.take<int32_t>(size_.steps * size_.channels);
  }

  void run() {
    for (int64_t first = 0; first < call_.steps; first += size_.steps) {
      steps_ = smaller_of(size_.steps, call_.steps - first);
      first_ = call_.is_static ? 0 : first;
      rows_ = call_.is_static ? 1 : steps_;
      neurons_.begin_chunk(first, steps_);
      if (weights_.narrow != nullptr) {
        run_narrow();
      } else {
        const Activity seen = look();
        if (wants_events(seen)) {
          if (seen.largest <= 1) {
            run_events<true>(scratch_);
          } else {
            run_events<false>(scratch_);
          }
        } else {
          run_dense(scratch_, seen.largest);
        }
      }
      // A part of a recurrent layer is one position, all of whose channels see each other.
      if (call_.recurrent_weight != nullptr) neurons_.run_recurrent(position(part_.y0, part_.x0));
    }
  }

 private:
  // Inputs of one step of this chunk, at the first channel of a row's column.
  const uint8_t* input(int64_t t, int64_t y, int64_t x) const {
    const int64_t row = ((first_ + t) * map_.batch + part_.batch) * map_.in_y + y;
    return call_.input + (row * map_.in_x + x) * shape_.channels_in;
  }
  int64_t position(int64_t y, int64_t x) const {
    return (part_.batch * map_.out_y + y) * map_.out_x + x;
  }
  int64_t local(int64_t y, int64_t x) const {
    return (y - part_.y0) * (part_.x1 - part_.x0) + x - part_.x0;
  }
  int64_t sum_stride() const { return call_.is_static ? 0 : kTile; }

  // Columns of the input map that the part sees: [begin, end), padding left out.
  void columns(int64_t* begin, int64_t* end) const {
    const Reach reach(shape_.x, part_.x0, part_.x1);
    *begin = larger(reach.first, 0);
    *end = larger(*begin, smaller_of(reach.first + reach.size, map_.in_x));
  }

  Activity look() const {
    Activity seen = {};
    int64_t begin, end;
    columns(&begin, &end);
    const Reach reach(shape_.y, part_.y0, part_.y1);
    const int64_t size = (end - begin) * shape_.channels_in;
    for (int64_t t = 0; t < rows_; ++t) {
      for (int64_t y = larger(reach.first, 0); y < smaller_of(reach.first + reach.size, map_.in_y);
           ++y) {
        const Census row = count_events(input(t, y, begin), size);
        seen.largest = row.largest > seen.largest ? row.largest : seen.largest;
        seen.events += row.events;
        seen.inputs += size;
        seen.most_in_row = larger(seen.most_in_row, row.events);
      }
    }
    return seen;
  }

  bool wants_events(const Activity& seen) const {
    if (weights_.rows == nullptr || shape_.zero_point != 0) return false;
    if (seen.most_in_row > size_.columns_in * shape_.channels_in) return false;
    // A list holds the events of one position, which see no more inputs than have weights.
    if (seen.largest > 1 && seen.most_in_row * shape_.y.kernel > shape_.fan_in()) return false;
    if (shape_.fan_in() + size_.columns_in * shape_.group_in() > UINT16_MAX) return false;
    return seen.events * 100 <= seen.inputs * kEventPercent;
  }

  // -- events --------------------------------------------------------------------------------

  // Events of what one row of outputs sees, column by column, for each step. Event e of column x
  // is a place among the inputs of a position whose kernel begins at that column, plus x columns.
  struct RowEvents {
    uint16_t* events;
    int32_t* starts;  // of the events of each column, and their end
    int64_t capacity, columns;
    uint16_t* list(int64_t t) const { return events + t * capacity; }
    int32_t* bounds(int64_t t) const { return starts + t * (columns + 1); }
  };

  // Binary: all inputs are 0 or 1.
  template <bool binary>
  void run_events(Scratch scratch) {
    if (shape_.one_position() && shape_.groups == 1) {
      uint16_t* list = scratch.take<uint16_t>(size_.list_capacity);
      for (int64_t x = part_.x0; x < part_.x1; ++x) run_listed_position<binary>(x, list);
      return;
    }
    RowEvents row = {nullptr, nullptr, size_.row_capacity, size_.columns_in};
    row.events = scratch.take<uint16_t>(size_.steps * row.capacity);
    row.starts = scratch.take<int32_t>(size_.steps * (row.columns + 1));
    uint16_t* collected = scratch.take<uint16_t>(size_.steps * size_.list_capacity);
    for (int64_t group = 0; group < shape_.groups; ++group) {
      for (int64_t y = part_.y0; y < part_.y1; ++y) run_listed_row<binary>(group, y, row, collected);
    }
  }

  EventList list_of(int64_t group, uint16_t* events, int64_t count, int64_t shift) const {
    const uint8_t* rows = weights_.rows + group * (shape_.fan_in() + 1) * weights_.row_bytes;
    const auto moved = static_cast<uintptr_t>(shift * weights_.row_bytes);
    return {events, count, reinterpret_cast<uintptr_t>(rows) - moved,
            static_cast<uint16_t>(shape_.fan_in() + shift)};
  }

  // A position that sees nothing but its own channels.
  template <bool binary>
  void run_listed_position(int64_t x, uint16_t* list) {
    int64_t events = 0;
    bool fits16 = true;
    for (int64_t t = 0; t < rows_ && fits16; ++t) {
      const int64_t count = list_events<binary>(input(t, 0, x), shape_.channels_in, 0, list);
      fits16 = fits_16_bits(count, binary);
      if (fits16) add_up(t, list_of(0, list, count, 0));
      events += count;
    }
    if (fits16) {
      hand_over(0, x, 0, events);
      return;
    }
    for (int64_t t = 0; t < rows_; ++t) {
      const int64_t count = list_events<binary>(input(t, 0, x), shape_.channels_in, 0, list);
      add_up_long(t, list_of(0, list, count, 0));
    }
    hand_over_long(0, x, 0);
  }

  template <bool binary>
  void run_listed_row(int64_t group, int64_t y, const RowEvents& row, uint16_t* collected) {
    int64_t begin, end;
    columns(&begin, &end);
    for (int64_t t = 0; t < rows_; ++t) list_row<binary>(group, t, y, begin, end, row);
    for (int64_t x = part_.x0; x < part_.x1; ++x) {
      EventList lists[kStepChunk];
      if (shape_.x.dilation == 1) {
        see_columns(group, x, begin, end, row, lists);
      } else {
        collect_columns(group, x, begin, end, row, collected, lists);
      }
      int64_t events = 0, most = 0;
      for (int64_t t = 0; t < rows_; ++t) {
        events += lists[t].count;
        most = larger(most, lists[t].count);
      }
      if (fits_16_bits(most, binary)) {
        for (int64_t t = 0; t < rows_; ++t) add_up(t, lists[t]);
        hand_over(y, x, group, events);
      } else {
        for (int64_t t = 0; t < rows_; ++t) add_up_long(t, lists[t]);
        hand_over_long(y, x, group);
      }
    }
  }

  template <bool binary>
  void list_row(int64_t group, int64_t t, int64_t y, int64_t begin, int64_t end,
                const RowEvents& row) const {
    const int64_t channels = shape_.group_in(), kernel_row = shape_.x.kernel * channels;
    const int64_t first_y = y * shape_.y.stride - shape_.y.pad;
    // Rows of the kernel that lie inside the map.
    int64_t from = 0, to = shape_.y.kernel;
    while (from < to && first_y + from * shape_.y.dilation < 0) ++from;
    while (to > from && first_y + (to - 1) * shape_.y.dilation >= map_.in_y) --to;
    uint16_t* const events = row.list(t);
    int32_t* starts = row.bounds(t);
    const uint8_t* first = input(t, first_y + from * shape_.y.dilation, begin) + group * channels;
    const int64_t down = shape_.y.dilation * map_.in_x * shape_.channels_in;
    int64_t count = 0;
    for (int64_t x = 0; x < end - begin; ++x) {
      starts[x] = static_cast<int32_t>(count);
      const uint8_t* column = first + x * shape_.channels_in;
      for (int64_t ky = from; ky < to; ++ky, column += down) {
        const auto place = static_cast<uint16_t>(x * channels + ky * kernel_row);
        count += list_events<binary>(column, channels, place, events + count);
      }
    }
    starts[end - begin] = static_cast<int32_t>(count);
  }

  // The events of one position, for each step: those of the columns that its kernel covers.
  void see_columns(int64_t group, int64_t x, int64_t begin, int64_t end, const RowEvents& row,
                   EventList* lists) const {
    const int64_t first_x = x * shape_.x.stride - shape_.x.pad;
    const int64_t from = smaller_of(larger(first_x, begin), end);
    const int64_t to = larger(from, smaller_of(first_x + shape_.x.kernel, end));
    const EventList any = list_of(group, nullptr, 0, (first_x - begin) * shape_.group_in());
    for (int64_t t = 0; t < rows_; ++t) {
      const int32_t* starts = row.bounds(t);
      lists[t] = any;
      lists[t].events = row.list(t) + starts[from - begin];
      lists[t].count = starts[to - begin] - starts[from - begin];
    }
  }

  // The same for columns that lie apart, which are copied together.
  void collect_columns(int64_t group, int64_t x, int64_t begin, int64_t end, const RowEvents& row,
                       uint16_t* collected, EventList* lists) const {
    const int64_t first_x = x * shape_.x.stride - shape_.x.pad, channels = shape_.group_in();
    for (int64_t t = 0; t < rows_; ++t) {
      uint16_t* out = collected + t * size_.list_capacity;
      int64_t count = 0;
      for (int64_t kx = 0; kx < shape_.x.kernel; ++kx) {
        const int64_t column = first_x + kx * shape_.x.dilation - begin;
        if (column < 0 || column >= end - begin) continue;
        const auto moved = static_cast<uint16_t>((kx - column) * channels);
        const int32_t* starts = row.bounds(t) + column;
        for (int64_t k = starts[0]; k < starts[1]; ++k) {
          out[count++] = static_cast<uint16_t>(row.list(t)[k] + moved);
        }
      }
      lists[t] = list_of(group, out, count, 0);
    }
  }

  bool fits_16_bits(int64_t events, bool binary) const {
    return events <= kSafeEvents || (binary && weights_.sums_fit_int16);
  }

  // Sums of all tiles at one step.
  SNNQUANT_INLINE void add_up(int64_t t, const EventList& list) {
    gather_events(weights_, list, shape_.tiles(), sums16_ + t * size_.channels);
  }

  // The same for many events: as many as are safe in 16 bits at a time, added up in 32 bits.
  void add_up_long(int64_t t, EventList list) {
    int32_t* total = sums_ + t * size_.channels;
    for (int64_t c = 0; c < size_.channels; ++c) total[c] = 0;
    for (int64_t left = list.count; left > 0; left -= kSafeEvents) {
      list.count = smaller_of(left, kSafeEvents);
      gather_events(weights_, list, shape_.tiles(), sums16_);
      for (int64_t c = 0; c < size_.channels; ++c) total[c] += sums16_[c];
      list.events += kSafeEvents;
    }
  }

  // Gives the sums of all tiles of one position to the neurons.
  void hand_over(int64_t y, int64_t x, int64_t group, int64_t events) {
    const int64_t stride = call_.is_static ? 0 : size_.channels;
    const int64_t total = (call_.is_static ? steps_ : 1) * events * weights_.largest;
    const int64_t here = position(y, x), inside = local(y, x);
    for (int64_t tile = 0; tile < shape_.tiles(); ++tile) {
      neurons_.take(here, inside, group, tile, sums16_ + tile * kTile, stride, total, sums_);
    }
  }
  void hand_over_long(int64_t y, int64_t x, int64_t group) {
    const int64_t stride = call_.is_static ? 0 : size_.channels;
    for (int64_t tile = 0; tile < shape_.tiles(); ++tile) {
      neurons_.take(position(y, x), local(y, x), group, tile, sums_ + tile * kTile, stride);
    }
  }

  // -- dense ---------------------------------------------------------------------------------

  void run_dense(Scratch scratch, uint8_t largest) {
    const bool padded = !shape_.one_position();
    Run* runs = scratch.take<Run>(shape_.y.kernel * shape_.x.kernel);
    int8_t* unpacked =
        weights_.bits == 8 ? nullptr : scratch.take<int8_t>(weights_.dense_groups * 4 * kTile);
    const Reach reach_x(shape_.x, part_.x0, part_.x1), reach_y(shape_.y, part_.y0, part_.y1);
    const int64_t line = padded ? reach_x.size * shape_.channels_in : 0;
    const int64_t image = reach_y.size * line;
    uint8_t* copy = nullptr;
    if (padded) {
      copy = scratch.take<uint8_t>(rows_ * image + kCacheLine);
      for (int64_t t = 0; t < rows_; ++t) copy_padded(t, reach_y, reach_x, copy + t * image);
    }
    const bool small = largest <= 128 && shape_.zero_point <= 128;
    for (int64_t group = 0; group < shape_.groups; ++group) {
      const int64_t run_count = make_runs(group, line, runs);
      for (int64_t tile = 0; tile < shape_.tiles(); ++tile) {
        const int8_t* weights = dense_weights(group, tile, unpacked);
        for (int64_t y = part_.y0; y < part_.y1; ++y) {
          dense_row(group, tile, y, copy, image, line, runs, run_count, weights, small);
        }
      }
    }
  }

  const int8_t* dense_weights(int64_t group, int64_t tile, int8_t* unpacked) const {
    const uint8_t* packed = weights_.dense + (group * shape_.tiles() + tile) * weights_.tile_bytes;
    if (weights_.bits == 8) return reinterpret_cast<const int8_t*>(packed);
    unpack_weights(packed, weights_.bits, weights_.dense_groups * 4 * kTile, unpacked);
    return unpacked;
  }

  // Behind a copied run lies memory that may be read; its weights are 0.
  static int64_t whole_groups(int64_t length) { return (length + 3) / 4 * 4; }

  // Inputs that lie side by side for every position, in the order of the weights.
  int64_t make_runs(int64_t group, int64_t line, Run* runs) const {
    const int64_t channels = shape_.group_in(), first = group * channels;
    if (shape_.one_position()) {
      runs[0] = {first, channels};
      return 1;
    }
    int64_t count = 0;
    const bool joined = shape_.joins_columns();
    for (int64_t ky = 0; ky < shape_.y.kernel; ++ky) {
      const int64_t row = ky * shape_.y.dilation * line + first;
      if (joined) {
        runs[count++] = {row, whole_groups(shape_.x.kernel * channels)};
        continue;
      }
      for (int64_t kx = 0; kx < shape_.x.kernel; ++kx) {
        runs[count++] = {row + kx * shape_.x.dilation * shape_.channels_in, whole_groups(channels)};
      }
    }
    return count;
  }

  void copy_padded(int64_t t, const Reach& reach_y, const Reach& reach_x, uint8_t* out) const {
    const int64_t channels = shape_.channels_in;
    const int64_t begin = smaller_of(larger(reach_x.first, 0), reach_x.first + reach_x.size);
    const int64_t end = larger(begin, smaller_of(reach_x.first + reach_x.size, map_.in_x));
    const auto fill = [&](uint8_t* to, int64_t columns) {
      std::memset(to, shape_.zero_point, static_cast<size_t>(columns * channels));
    };
    for (int64_t k = 0; k < reach_y.size; ++k) {
      uint8_t* row = out + k * reach_x.size * channels;
      const int64_t y = reach_y.first + k;
      if (y < 0 || y >= map_.in_y) {
        fill(row, reach_x.size);
        continue;
      }
      fill(row, begin - reach_x.first);
      if (end > begin) {
        std::memcpy(row + (begin - reach_x.first) * channels, input(t, y, begin),
                    static_cast<size_t>((end - begin) * channels));
      }
      fill(row + (end - reach_x.first) * channels, reach_x.first + reach_x.size - end);
    }
  }

  // One row of outputs of one tile; with few steps several positions share a pass over the weights.
  void dense_row(int64_t group, int64_t tile, int64_t y, const uint8_t* copy, int64_t image,
                 int64_t line, const Run* runs, int64_t run_count, const int8_t* weights,
                 bool small) {
    const int64_t together = rows_ >= kDotRows ? 1 : kDotRows / rows_;
    const int32_t correction = kDotZero - shape_.zero_point;
    const int32_t* sums_of_weights = weights_.sums + neurons_.place(group, tile);
    const int64_t down = (y - part_.y0) * shape_.y.stride * line;
    const int64_t across = shape_.x.stride * shape_.channels_in;
    for (int64_t x = part_.x0; x < part_.x1; x += together) {
      const int64_t positions = smaller_of(together, part_.x1 - x);
      alignas(64) int32_t sums[kStepChunk > kDotRows ? kStepChunk * kTile : kDotRows * kTile];
      const uint8_t* inputs[kStepChunk > kDotRows ? kStepChunk : kDotRows];
      int count = 0;
      for (int64_t p = 0; p < positions; ++p) {
        for (int64_t t = 0; t < rows_; ++t) {
          inputs[count++] = copy == nullptr ? input(t, 0, x + p)
                                            : copy + t * image + down + (x + p - part_.x0) * across;
        }
      }
      for (int r = 0; r < count; r += kDotRows) {
        const int rows = count - r < kDotRows ? count - r : kDotRows;
        dot_tile(inputs + r, rows, runs, run_count, weights, small, sums + r * kTile, kTile);
      }
      if (correction != 0) {
        for (int r = 0; r < count; ++r) {
          for (int64_t n = 0; n < kTile; ++n) sums[r * kTile + n] += correction * sums_of_weights[n];
        }
      }
      for (int64_t p = 0; p < positions; ++p) {
        neurons_.take(position(y, x + p), local(y, x + p), group, tile, sums + p * rows_ * kTile,
                      sum_stride());
      }
    }
  }

  // -- others --------------------------------------------------------------------------------

  // Groups of a few channels, which lie side by side in the lanes.
  void run_narrow() {
    for (int64_t y = part_.y0; y < part_.y1; ++y) {
      for (int64_t x = part_.x0; x < part_.x1; ++x) {
        for (int64_t t = 0; t < rows_; ++t) sum_narrow(t, y, x, sums_ + t * size_.channels);
        for (int64_t tile = 0; tile < shape_.tiles(); ++tile) {
          neurons_.take(position(y, x), local(y, x), 0, tile, sums_ + tile * kTile,
                        call_.is_static ? 0 : size_.channels);
        }
      }
    }
  }

  void sum_narrow(int64_t t, int64_t y, int64_t x, int32_t* sums) const {
    for (int64_t c = 0; c < size_.channels; ++c) sums[c] = 0;
    const int64_t weights = shape_.group_in() * shape_.channels_out;
    for (int64_t ky = 0; ky < shape_.y.kernel; ++ky) {
      const int64_t in_y = y * shape_.y.stride - shape_.y.pad + ky * shape_.y.dilation;
      if (in_y < 0 || in_y >= map_.in_y) continue;
      for (int64_t kx = 0; kx < shape_.x.kernel; ++kx) {
        const int64_t in_x = x * shape_.x.stride - shape_.x.pad + kx * shape_.x.dilation;
        if (in_x < 0 || in_x >= map_.in_x) continue;
        add_narrow(shape_, input(t, in_y, in_x),
                   weights_.narrow + (ky * shape_.x.kernel + kx) * weights, sums);
      }
    }
  }

  const LayerCall& call_;
  const SynapseShape& shape_;
  const PackedWeights& weights_;
  const MapShape map_;
  const Part part_;
  const PartSizes size_;
  Scratch scratch_;
  LayerNeurons neurons_;
  int64_t first_ = 0, steps_ = 0, rows_ = 0;  // rows: steps of inputs
  int16_t* sums16_;
  int32_t* sums_;
};

inline void run_layer_part(const LayerCall& call, int64_t index, void* scratch) {
  LayerPart(call, part_of(call, index), scratch).run();
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
