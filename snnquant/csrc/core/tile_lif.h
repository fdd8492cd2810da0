// LIF of one tile of channels at one position, over several steps, where nothing can saturate.
//
// A bound on the membrane, worked out from the weights or from the number of events, says which
// lanes hold it: 16 bits, 32 bits with products that fit, or 32 bits with products that are split.
#pragma once

#include <cstdint>

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
  bool floors;            // its products are floored, else rounded to nearest
  int32_t left;           // shift of the sums of a synapse: its gain, and the neuron's own
  int32_t shift;          // of products that are not split
  int64_t start;          // largest magnitude of a membrane at the start or after a reset
  int64_t growth;         // most that one step adds beyond the shifted sum
  int64_t largest_alpha;  // as k of k / 2**shift
  int64_t limit;          // largest membrane that the state's width holds
  // 16-bit lanes: k / 2**15 to nearest, or k / 2**16 floored, of which `wraps` says by an addend
  // that k does not fit a signed number.
  const int16_t *multiplier16, *wraps16, *fire_above16, *on_spike16, *bias16, *spike_bias16;
  const int16_t *offset16, *initial16;
  const int32_t *alpha, *multiplier, *fire_above, *on_spike, *bias, *spike_bias;
  const int32_t *offset, *initial;  // offset: the synapse's bias on the membrane's scale
};

namespace SNNQUANT_ISA {

enum class Leaking { none, nearest16, floor16, whole32, split32 };

SNNQUANT_INLINE int16_t leak16(Leaking how, int16_t k, int16_t wraps, int16_t v) {
  if (how == Leaking::nearest16) {
    // What compilers know as the rounding multiplication of high halves.
    return static_cast<int16_t>((((static_cast<int32_t>(v) * k) >> 14) + 1) >> 1);
  }
  if (how == Leaking::floor16) {
    const int16_t high = static_cast<int16_t>((static_cast<int32_t>(v) * k) >> 16);
    return static_cast<int16_t>(high + (v & wraps));
  }
  return v;
}

// One step, from the sums of a synapse.
template <Form form, Leaking how, bool shifts>
SNNQUANT_INLINE void tile_step16(const TileLif& p, int64_t place, const int16_t* sum,
                                 int16_t* v, uint8_t* spikes) {
  const int left = p.left;
  const int16_t* offset = p.offset16 + place;
  const int16_t* multiplier = p.multiplier16 + place;
  const int16_t* wraps = p.wraps16 + place;
  const int16_t* fire_above = p.fire_above16 + place;
  const int16_t* on_spike = p.on_spike16 + place;
  const int16_t* bias = p.bias16 + place;
  const int16_t* spike_bias = p.spike_bias16 + place;
  SNNQUANT_INDEPENDENT_LOOP
  for (int64_t n = 0; n < kTile; ++n) {
    // Lanes of 16 bits cannot be shifted by a variable, and rarely have to be.
    const int16_t current =
        shifts ? static_cast<int16_t>(static_cast<uint16_t>(sum[n]) << left) : sum[n];
    const int16_t v3 = static_cast<int16_t>(v[n] + current + offset[n]);
    const bool fires = v3 > fire_above[n];
    const int16_t silent = bias[n], spiking = on_spike[n];
    int16_t next;
    if (form == Form::replace) {
      const int16_t leaked = leak16(how, multiplier[n], wraps[n], v3);
      const int16_t kept = static_cast<int16_t>(leaked + silent);
      next = fires ? spiking : kept;
    } else if (form == Form::subtract_and_leak) {
      const int16_t kept = static_cast<int16_t>(v3 - (fires ? spiking : int16_t{0}));
      next = static_cast<int16_t>(leak16(how, multiplier[n], wraps[n], kept) + silent);
    } else {
      const int16_t leaked = leak16(how, multiplier[n], wraps[n], v3);
      const int16_t added = spike_bias[n];
      next = static_cast<int16_t>(leaked + (fires ? added : silent));
    }
    v[n] = next;
    spikes[n] = fires;
  }
}

template <Form form, Leaking how>
SNNQUANT_INLINE void tile_step32(const TileLif& p, const NarrowArithmetic& ops, int64_t place,
                                 const int32_t* sum, int32_t* v, uint8_t* spikes) {
  const int32_t* offset = p.offset + place;
  const int32_t* alpha = p.alpha + place;
  const int32_t* multiplier = p.multiplier + place;
  const int32_t* fire_above = p.fire_above + place;
  const int32_t* on_spike = p.on_spike + place;
  const int32_t* bias = p.bias + place;
  const int32_t* spike_bias = p.spike_bias + place;
  const int32_t half = p.floors || p.shift == 0 ? 0 : int32_t{1} << (p.shift - 1);
  const int shift = p.shift;
  const int left = p.left;
  const NarrowArithmetic arithmetic = ops;  // a copy: stores could change what a reference names
  const auto leak = [&](int64_t n, int32_t x) SNNQUANT_INLINE_LAMBDA {
    if (how == Leaking::whole32) return (alpha[n] * x + half) >> shift;
    if (how == Leaking::split32) return arithmetic.scale<false>(multiplier[n], x);
    return x;
  };
  SNNQUANT_INDEPENDENT_LOOP
  for (int64_t n = 0; n < kTile; ++n) {
    const int32_t shifted = static_cast<int32_t>(static_cast<uint32_t>(sum[n]) << left);
    const int32_t v3 = v[n] + shifted + offset[n];
    const bool fires = v3 > fire_above[n];
    // Both sides of every choice are computed, so that compilers select instead of branching.
    const int32_t silent = bias[n], spiking = on_spike[n];
    int32_t next;
    if (form == Form::replace) {
      const int32_t leaked = leak(n, v3) + silent;
      next = fires ? spiking : leaked;
    } else if (form == Form::subtract_and_leak) {
      const int32_t kept = v3 - (fires ? spiking : 0);
      next = leak(n, kept) + silent;
    } else {
      const int32_t added = spike_bias[n];
      next = leak(n, v3) + (fires ? added : silent);
    }
    v[n] = next;
    spikes[n] = fires;
  }
}

// Where the spikes of a tile go: `step_stride` bytes apart, the first `valid` channels of it.
struct TileSpikes {
  uint8_t* first;
  int64_t step_stride;
  int64_t valid;

  SNNQUANT_INLINE uint8_t* row(int64_t t, uint8_t* whole) const {
    return valid == kTile ? first + t * step_stride : whole;
  }
  SNNQUANT_INLINE void finish(int64_t t, const uint8_t* whole) const {
    if (valid != kTile) std::memcpy(first + t * step_stride, whole, static_cast<size_t>(valid));
  }
};

// Membranes of a tile before and after: null where they start at their initial values, and where
// nobody asks for them.
struct TileMembranes {
  const int32_t* before;
  int32_t* after;
};

template <Form form, Leaking how>
void tile_steps16(const TileLif& p, int64_t place, int64_t steps, const int16_t* sums,
                  int64_t stride, const TileMembranes& membranes, const TileSpikes& out) {
  alignas(64) int16_t v[kTile];
  alignas(64) uint8_t whole[kTile];
  if (membranes.before == nullptr) {
    std::memcpy(v, p.initial16 + place, sizeof v);
  } else {
    for (int64_t n = 0; n < kTile; ++n) v[n] = static_cast<int16_t>(membranes.before[n]);
  }
  for (int64_t t = 0; t < steps; ++t) {
    if (p.left == 0) {
      tile_step16<form, how, false>(p, place, sums + t * stride, v, out.row(t, whole));
    } else {
      tile_step16<form, how, true>(p, place, sums + t * stride, v, out.row(t, whole));
    }
    out.finish(t, whole);
  }
  if (membranes.after == nullptr) return;
  for (int64_t n = 0; n < kTile; ++n) membranes.after[n] = v[n];
}

template <Form form, Leaking how>
void tile_steps32(const TileLif& p, const NarrowArithmetic& ops, int64_t place, int64_t steps,
                  const int32_t* sums, int64_t stride, const TileMembranes& membranes,
                  const TileSpikes& out) {
  alignas(64) int32_t v[kTile];
  alignas(64) uint8_t whole[kTile];
  const int32_t* before = membranes.before == nullptr ? p.initial + place : membranes.before;
  std::memcpy(v, before, sizeof v);
  for (int64_t t = 0; t < steps; ++t) {
    tile_step32<form, how>(p, ops, place, sums + t * stride, v, out.row(t, whole));
    out.finish(t, whole);
  }
  if (membranes.after != nullptr) std::memcpy(membranes.after, v, sizeof v);
}

template <Form form>
void run_tile16(const TileLif& p, int64_t place, int64_t steps, const int16_t* sums,
                int64_t stride, const TileMembranes& v, const TileSpikes& out) {
  if (!p.leaks) {
    tile_steps16<form, Leaking::none>(p, place, steps, sums, stride, v, out);
  } else if (p.floors) {
    tile_steps16<form, Leaking::floor16>(p, place, steps, sums, stride, v, out);
  } else {
    tile_steps16<form, Leaking::nearest16>(p, place, steps, sums, stride, v, out);
  }
}

template <Form form>
void run_tile32(const TileLif& p, const NarrowArithmetic& ops, int64_t bound, int64_t place,
                int64_t steps, const int32_t* sums, int64_t stride,
                const TileMembranes& v, const TileSpikes& out) {
  if (!p.leaks) {
    tile_steps32<form, Leaking::none>(p, ops, place, steps, sums, stride, v, out);
  } else if ((bound + 1) * p.largest_alpha < INT32_MAX - (int64_t{1} << p.shift)) {
    tile_steps32<form, Leaking::whole32>(p, ops, place, steps, sums, stride, v, out);
  } else {
    tile_steps32<form, Leaking::split32>(p, ops, place, steps, sums, stride, v, out);
  }
}

// Runs the tile whose first channel has its constants at `place`. No membrane may exceed 16 bits,
// or p.limit.
inline void run_tile(const TileLif& p, int64_t place, int64_t steps, const int16_t* sums,
                     int64_t stride, const TileMembranes& v, const TileSpikes& out) {
  switch (static_cast<Form>(p.form)) {
    case Form::replace:
      return run_tile16<Form::replace>(p, place, steps, sums, stride, v, out);
    case Form::subtract_and_leak:
      return run_tile16<Form::subtract_and_leak>(p, place, steps, sums, stride, v, out);
    case Form::leak_and_subtract:
      return run_tile16<Form::leak_and_subtract>(p, place, steps, sums, stride, v, out);
  }
}

// The same for 32-bit sums and membranes of at most `bound`.
inline void run_tile(const TileLif& p, const NarrowArithmetic& ops, int64_t bound, int64_t place,
                     int64_t steps, const int32_t* sums, int64_t stride,
                     const TileMembranes& v, const TileSpikes& out) {
  switch (static_cast<Form>(p.form)) {
    case Form::replace:
      return run_tile32<Form::replace>(p, ops, bound, place, steps, sums, stride, v, out);
    case Form::subtract_and_leak:
      return run_tile32<Form::subtract_and_leak>(p, ops, bound, place, steps, sums, stride, v,
                                                 out);
    case Form::leak_and_subtract:
      return run_tile32<Form::leak_and_subtract>(p, ops, bound, place, steps, sums, stride, v,
                                                 out);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
