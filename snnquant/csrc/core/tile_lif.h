// LIF of one tile of channels at one position, over several steps, where nothing can saturate.
//
// A bound on the membrane, worked out from the weights or from the number of events, says which
// lanes hold it: 16 bits, 32 bits with products that fit, or 32 bits with products that are split.
#pragma once

#include <cstdint>
#include <cstring>

#include "fast_lif.h"
#include "isa_namespace.h"
#include "narrow.h"
#include "synapse.h"
#include "vectors.h"

namespace snnquant {

// Constants of all channels of a layer, prepared for tiles: [groups * tiles * kTile].
struct TileLif {
  int32_t form;           // Form
  bool leaks;             // false: every alpha is 1
  bool fits16;            // the leak can be rounded in 16-bit lanes
  bool floors;            // its products are floored
  int32_t half;           // added to products that are not split before their shift
  int32_t left;           // shift of the sums of a synapse: its gain, and the neuron's own
  int32_t right;          // shift of currents, after which `left` and the offsets are 0; 0: none
  int32_t shift;          // of products that are not split
  int64_t start;          // largest magnitude of a membrane at the start or after a reset
  int64_t growth;         // most that one step adds beyond the shifted sum
  int64_t largest_alpha;  // as k of k / 2**shift
  int64_t limit;          // largest membrane that the state's width holds
  // 16-bit lanes: k / 2**15 to nearest, or k / 2**16 floored (none for ceil), of which `wraps` says by an addend
  // that k does not fit a signed number.
  const int16_t *multiplier16, *wraps16, *fire_above16, *on_spike16, *bias16, *spike_bias16;
  const int16_t *offset16, *initial16;
  const int32_t *alpha, *multiplier, *fire_above, *on_spike, *bias, *spike_bias;
  const int32_t *offset, *initial;  // offset: the synapse's bias on the membrane's scale
};

namespace SNNQUANT_ISA {

enum class Leaking { none, nearest16, floor16, whole32, split32 };

// Where the spikes of a tile go: `step_stride` bytes apart, the first `valid` channels of it.
struct TileSpikes {
  uint8_t* first;
  int64_t step_stride;
  int64_t valid;
};

// Membranes of a tile before and after: null where they start at their initial values, and where
// nobody asks for them.
struct TileMembranes {
  const int32_t* before;
  int32_t* after;
};

// Rows of spikes that are written a whole tile at a time, and shortened where a tile is not full.
class WholeSpikes {
 public:
  SNNQUANT_INLINE WholeSpikes(const TileSpikes& out, int64_t steps, uint8_t* memory)
      : out_(out), steps_(steps), short_(out.valid != kTile), memory_(memory) {}
  SNNQUANT_INLINE ~WholeSpikes() {
    for (int64_t t = 0; short_ && t < steps_; ++t) {
      std::memcpy(out_.first + t * out_.step_stride, memory_ + t * kTile,
                  static_cast<size_t>(out_.valid));
    }
  }
  WholeSpikes(const WholeSpikes&) = delete;
  WholeSpikes& operator=(const WholeSpikes&) = delete;
  SNNQUANT_INLINE uint8_t* first() const { return short_ ? memory_ : out_.first; }
  SNNQUANT_INLINE int64_t stride() const { return short_ ? kTile : out_.step_stride; }

 private:
  const TileSpikes& out_;
  int64_t steps_;
  bool short_;
  uint8_t* memory_;
};

// Steps that are computed before the membranes go back to memory.
constexpr int64_t kStepChunk = 16;

// Runs the tile whose first channel has its constants at `place`, where no membrane exceeds 16
// bits.
using Tile16 = void (*)(const TileLif& p, int64_t place, int64_t steps, const int16_t* sums,
                        int64_t stride, const TileMembranes& membranes, const TileSpikes& out);

// The same for 32-bit sums.
using Tile32 = void (*)(const TileLif& p, const NarrowArithmetic& ops, int64_t place, int64_t steps,
                        const int32_t* sums, int64_t stride, const TileMembranes& membranes,
                        const TileSpikes& out);

#if defined(SNNQUANT_HAS_VECTORS)

constexpr bool kHasTiles = true;

template <Leaking how>
SNNQUANT_INLINE Lanes16 leak16(Lanes16 k, Lanes16 wraps, Lanes16 v) {
  if (how == Leaking::nearest16) return multiply_rounding(v, k);
  if (how == Leaking::floor16) return multiply_high(v, k) + (v & wraps);
  return v;
}

template <Form form, Leaking how>
void tile_steps16(const TileLif& p, int64_t place, int64_t steps, const int16_t* sums,
                  int64_t stride, const TileMembranes& membranes, const TileSpikes& out) {
  alignas(64) uint8_t memory[kStepChunk * kTile];
  const WholeSpikes whole(out, steps, memory);
  // Copies: the bytes that are stored could change whatever a pointer leads to.
  uint8_t* const spikes = whole.first();
  const int64_t spike_stride = whole.stride();
  const int left = p.left;
  for (int64_t n = 0; n < out.valid; n += kLanes16) {
    const auto constant = [&](const int16_t* all) { return load<Lanes16>(all + place + n); };
    const Lanes16 multiplier = constant(p.multiplier16), wraps = constant(p.wraps16);
    const Lanes16 fire_above = constant(p.fire_above16), on_spike = constant(p.on_spike16);
    const Lanes16 bias = constant(p.bias16), spike_bias = constant(p.spike_bias16);
    const Lanes16 offset = constant(p.offset16);
    Lanes16 v = constant(p.initial16);
    if (membranes.before != nullptr) {
      for (int64_t k = 0; k < kLanes16; ++k) v[k] = static_cast<int16_t>(membranes.before[n + k]);
    }
    for (int64_t t = 0; t < steps; ++t) {
      Lanes16 sum = load<Lanes16>(sums + t * stride + n);
      if (left != 0) sum = sum << left;
      const Lanes16 v3 = v + (sum + offset);
      const Lanes16 fires = v3 > fire_above;  // all ones where it holds
      if (form == Form::replace) {
        v = fires ? on_spike : leak16<how>(multiplier, wraps, v3) + bias;
      } else if (form == Form::subtract_and_leak) {
        const Lanes16 v5 = (Lanes16)((Unsigned16)v3 - (Unsigned16)(fires & on_spike));  // may wrap
        v = leak16<how>(multiplier, wraps, v5) + bias;
      } else {
        v = leak16<how>(multiplier, wraps, v3) + (fires ? spike_bias : bias);
      }
      store_greater(spikes + t * spike_stride + n, v3, fire_above);
    }
    if (membranes.after == nullptr) continue;
    for (int64_t k = 0; k < kLanes16; ++k) membranes.after[n + k] = v[k];
  }
}

template <Form form, Leaking how>
void tile_steps32(const TileLif& p, const NarrowArithmetic& ops, int64_t place, int64_t steps,
                  const int32_t* sums, int64_t stride, const TileMembranes& membranes,
                  const TileSpikes& out) {
  alignas(64) uint8_t memory[kStepChunk * kTile];
  const WholeSpikes whole(out, steps, memory);
  uint8_t* const spikes = whole.first();
  const int64_t spike_stride = whole.stride();
  const int left = p.left, shift = p.shift;
  const uint32_t split_half = ops.half;
  const int32_t half = p.half;
  // Two vectors side by side, since a step of one waits for the step before.
  constexpr int kTogether = 2;
  for (int64_t n = 0; n < out.valid; n += kTogether * kLanes32) {
    using Group = Lanes32[kTogether];
    Group alpha, multiplier, fire_above, on_spike, bias, spike_bias, offset, v;
    const auto read = [&](const int32_t* all, Group& out) SNNQUANT_INLINE_LAMBDA {
      SNNQUANT_UNROLL
      for (int j = 0; j < kTogether; ++j) out[j] = load<Lanes32>(all + n + j * kLanes32);
    };
    read(p.alpha + place, alpha);
    read(p.multiplier + place, multiplier);
    read(p.fire_above + place, fire_above);
    read(p.on_spike + place, on_spike);
    read(p.bias + place, bias);
    read(p.spike_bias + place, spike_bias);
    read(p.offset + place, offset);
    read(membranes.before == nullptr ? p.initial + place : membranes.before, v);
    const auto leak = [&](int j, Lanes32 x) SNNQUANT_INLINE_LAMBDA {
      if (how == Leaking::whole32) return (alpha[j] * x + half) >> shift;
      if (how == Leaking::split32) {
        // NarrowArithmetic::scale() in vectors.
        const Unsigned32 k = (Unsigned32)multiplier[j], lower = (Unsigned32)x & 0xffffu;
        const Unsigned32 upper = (Unsigned32)(x >> kNarrowShift);
        return (Lanes32)(k * upper + ((k * lower + split_half) >> kNarrowShift));
      }
      return x;
    };
    for (int64_t t = 0; t < steps; ++t) {
      SNNQUANT_UNROLL
      for (int j = 0; j < kTogether; ++j) {
        Lanes32 sum = load<Lanes32>(sums + t * stride + n + j * kLanes32);
        if (left != 0) sum = (Lanes32)((Unsigned32)sum << left);
        const Lanes32 v3 = v[j] + (sum + offset[j]);
        const Lanes32 fires = v3 > fire_above[j];
        if (form == Form::replace) {
          v[j] = fires ? on_spike[j] : leak(j, v3) + bias[j];
        } else if (form == Form::subtract_and_leak) {
          v[j] = leak(j, v3 - (fires & on_spike[j])) + bias[j];
        } else {
          v[j] = leak(j, v3) + (fires ? spike_bias[j] : bias[j]);
        }
        store_greater(spikes + t * spike_stride + n + j * kLanes32, v3, fire_above[j]);
      }
    }
    if (membranes.after == nullptr) continue;
    SNNQUANT_UNROLL
    for (int j = 0; j < kTogether; ++j) store(membranes.after + n + j * kLanes32, v[j]);
  }
}

template <Form form>
Tile16 tile16_of(const TileLif& p) {
  if (!p.leaks) return tile_steps16<form, Leaking::none>;
  return p.floors ? tile_steps16<form, Leaking::floor16> : tile_steps16<form, Leaking::nearest16>;
}

inline Tile16 tile16_of(const TileLif& p) {
  const Form form = static_cast<Form>(p.form);
  if (form == Form::replace) return tile16_of<Form::replace>(p);
  if (form == Form::subtract_and_leak) return tile16_of<Form::subtract_and_leak>(p);
  return tile16_of<Form::leak_and_subtract>(p);
}

template <Form form>
Tile32 tile32_of(const TileLif& p, bool whole) {
  if (!p.leaks) return tile_steps32<form, Leaking::none>;
  return whole ? tile_steps32<form, Leaking::whole32> : tile_steps32<form, Leaking::split32>;
}

// Whole: products of membranes of at most `bound` fit 32 bits.
inline Tile32 tile32_of(const TileLif& p, int64_t bound) {
  const Form form = static_cast<Form>(p.form);
  const bool whole = (bound + 1) * p.largest_alpha < INT32_MAX - (int64_t{1} << p.shift);
  if (form == Form::replace) return tile32_of<Form::replace>(p, whole);
  if (form == Form::subtract_and_leak) return tile32_of<Form::subtract_and_leak>(p, whole);
  return tile32_of<Form::leak_and_subtract>(p, whole);
}

#else

// Without vectors the neurons run by their definition.
constexpr bool kHasTiles = false;
inline Tile16 tile16_of(const TileLif&) { return nullptr; }
inline Tile32 tile32_of(const TileLif&, int64_t) { return nullptr; }

#endif

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
