// One step of many LIF neurons in 32-bit lanes: the loop that compilers turn into vector code.
#pragma once

#include <cstdint>
#include <cstring>

#include "isa_namespace.h"
#include "narrow.h"

namespace snnquant {
namespace SNNQUANT_ISA {

// What a spike does, in a form in which the constants are already combined.
enum class Form {
  replace,            // the next membrane is a constant
  subtract_and_leak,  // on_spike is taken away before the leak
  leak_and_subtract,  // the leak adds another bias
};

// How much the step has to handle; all but `general` leave out what would only cost time.
enum class Scope {
  full_width,     // states of 32 bits
  below_32_bits,  // fewer, and the states that are given lie within them
  general,        // any states, refractory time, shifted current, every rounding, membrane wanted
};

// Whether a silent or soft-reset membrane can leave its width after the leak. An alpha of at most 1
// moves a membrane within its width, so without a bias nothing has to be saturated.
enum class Leak { biased, unbiased };

// One value for all neurons, used like a column.
struct Same {
  int32_t value;
  explicit Same(const int32_t* values) : value(values[0]) {}
  int32_t operator[](int64_t) const { return value; }
};

// One value per neuron.
struct Each {
  const int32_t* values;
  explicit Each(const int32_t* values) : values(values) {}
  int32_t operator[](int64_t n) const { return values[n]; }
};

// Constants of a span, prepared for a Form; Column is a value or a pointer to values.
template <class Column>
struct LifColumns {
  Column multiplier, fire_above, refractory_steps;
  Column bias, from, to;                    // of a silent step: clamp(x, from, to) + bias
  Column on_spike;                          // next membrane, or what is subtracted
  Column spike_bias, spike_from, spike_to;  // of a firing step
};
constexpr int kLifColumns = 10;

// The constants that a LIF reads, as the op gives them.
template <class Column>
struct LifConstants {
  Column alpha, leak_bias, fire_above, reset_by, v_reset, refractory_steps;
};
constexpr int kLifConstants = 6;

// Choices as masks of all bits or none: loops over neurons that blend by them become vector code.
struct LifMasks {
  int32_t resets, replaces, late, immediate, refractory, general;

  LifMasks(const Arithmetic& choices, Form form, bool general_form)
      : resets(choices.reset == reset::none ? 0 : -1),
        replaces(form == Form::replace ? -1 : 0),
        late(form == Form::leak_and_subtract ? -1 : 0),
        immediate(choices.reset_after_leak ? -1 : 0),
        refractory(choices.refractory ? -1 : 0),
        general(general_form ? -1 : 0) {}
};

inline int32_t blend(int32_t mask, int32_t a, int32_t b) { return (a & mask) | (b & ~mask); }

// In the general form on_spike is taken away before the leak, whatever the form was, and a spike
// that sets the membrane does so by limits that leave nothing but its bias.
inline LifColumns<int32_t> prepare_lif(const NarrowArithmetic& ops, const LifMasks& masks,
                                       const LifConstants<int32_t>& given) {
  LifColumns<int32_t> p = {};
  p.multiplier = ops.multiplier(given.alpha);
  p.fire_above = given.fire_above;
  p.refractory_steps = given.refractory_steps & masks.refractory;
  const int32_t reset_by = given.reset_by & masks.resets;
  p.bias = given.leak_bias;
  p.spike_bias = given.leak_bias - (reset_by & masks.late);
  p.from = ops.from(p.bias);
  p.to = ops.to(p.bias);
  const int32_t leaked =
      clamp32(ops.scale<true>(p.multiplier, given.v_reset), p.from, p.to) + p.bias;
  const int32_t replaced = blend(masks.immediate, ops.saturate(given.v_reset), leaked);
  p.on_spike = blend(masks.replaces, replaced, reset_by) & ~(masks.general & masks.late);
  p.spike_from = ops.from(p.spike_bias);
  p.spike_to = ops.to(p.spike_bias);
  const int32_t moved = masks.general & masks.replaces;
  p.spike_from &= ~moved;
  p.spike_to &= ~moved;
  p.spike_bias = blend(moved, p.on_spike, p.spike_bias);
  p.on_spike &= ~moved;
  return p;
}

inline LifColumns<int32_t> prepare_lif(const NarrowArithmetic& ops, const Arithmetic& choices,
                                       Form form, const LifConstants<int32_t>& given) {
  return prepare_lif(ops, LifMasks(choices, form, false), given);
}

// Neurons that a loop computes at once, and between two rounds of prefetching. With a number that
// compilers know, and that vectors of bytes divide, no code is left that does the rest one by one.
constexpr int64_t kLifBlock = 64;

inline int64_t whole_blocks(int64_t count) {
  return (count + kLifBlock - 1) / kLifBlock * kLifBlock;
}

// Starts loading the next row of a block into the second cache level (into the first it would push
// out the state). Rows lie far apart, and no hardware foresees the jump.
inline void prefetch_block(const int32_t* current, const uint8_t* spikes) {
  constexpr int64_t line = 64, currents = line / static_cast<int64_t>(sizeof(int32_t));
  for (int64_t n = 0; n < kLifBlock; n += currents) SNNQUANT_PREFETCH(current + n, 0);
  for (int64_t n = 0; n < kLifBlock; n += line) SNNQUANT_PREFETCH(spikes + n, 1);
}

// What stands in for the arrays of the caller where they end within a block. It starts as zeros.
struct LastBlock {
  int32_t currents[kLifBlock], membranes[kLifBlock];
  uint8_t spikes[kLifBlock];
};

// One step of a span: what it reads and writes. v, r and columns have room for whole blocks. Only
// the general scope touches r and membrane.
struct LifRow {
  const int32_t* current;
  int32_t* v;
  int32_t* r;
  uint8_t* spikes;
  int32_t* membrane;  // null if not wanted
  LastBlock* last;
  int64_t to_next;  // elements from here to the next step of currents and spikes; 0: none
};

// Returns the block of a row that starts at a neuron, and starts loading the one of the next step.
inline LifRow open_block(const LifRow& row, int64_t first, int64_t count) {
  LifRow at = row;
  at.current += first;
  at.v += first;
  at.r += first;
  at.spikes += first;
  at.membrane = row.membrane != nullptr ? row.membrane + first : row.last->membranes;
  if (at.to_next != 0) prefetch_block(at.current + at.to_next, at.spikes + at.to_next);
  if (count - first >= kLifBlock) return at;
  const size_t bytes = static_cast<size_t>(count - first) * sizeof(int32_t);
  std::memcpy(row.last->currents, at.current, bytes);
  at.current = row.last->currents;
  at.spikes = row.last->spikes;
  at.membrane = row.last->membranes;
  return at;
}

inline void close_block(const LifRow& row, int64_t first, int64_t count) {
  if (count - first >= kLifBlock) return;
  const size_t rest = static_cast<size_t>(count - first);
  std::memcpy(row.spikes + first, row.last->spikes, rest);
  if (row.membrane == nullptr) return;
  std::memcpy(row.membrane + first, row.last->membranes, rest * sizeof(int32_t));
}

// Runs one step of a span.
using LifStep = void (*)(const NarrowArithmetic&, const LifColumns<const int32_t*>&, int64_t count,
                         const LifRow&);

template <Form form, Scope scope, Leak leak, class Column>
void lif_step(const NarrowArithmetic& arithmetic, const LifColumns<const int32_t*>& columns,
              int64_t count, const LifRow& row) {
  // Copies: through the references every store could change them.
  const NarrowArithmetic ops = arithmetic;
  const Column multiplier(columns.multiplier), fire_above(columns.fire_above);
  const Column on_spike(columns.on_spike), bias(columns.bias), from(columns.from), to(columns.to);
  const Column spike_bias(columns.spike_bias), spike_from(columns.spike_from);
  const Column spike_to(columns.spike_to);
  for (int64_t first = 0; first < count; first += kLifBlock) {
    const LifRow block = open_block(row, first, count);
    const int32_t* current = block.current;
    int32_t* v = block.v;
    uint8_t* spikes = block.spikes;
    SNNQUANT_INDEPENDENT_LOOP
    for (int64_t k = 0; k < kLifBlock; ++k) {
      // Everything is read before anything is chosen: not every vector unit can leave reads out.
      const int64_t n = first + k;
      const int32_t low = from[n], high = to[n], added = bias[n], spike = on_spike[n];
      const int32_t v3 = scope == Scope::below_32_bits
                             ? ops.integrate_below_32_bits(v[k], current[k])
                             : add_saturated(v[k], current[k]);
      const bool fires = v3 > fire_above[n];
      const int32_t kept = form == Form::subtract_and_leak && fires ? v3 - spike : v3;
      const int32_t leaked = ops.scale<false>(multiplier[n], kept);
      if (form == Form::leak_and_subtract) {
        const int32_t spike_low = spike_from[n], spike_high = spike_to[n];
        const int32_t spike_added = spike_bias[n];
        v[k] = clamp32(leaked, fires ? spike_low : low, fires ? spike_high : high) +
               (fires ? spike_added : added);
      } else {
        const int32_t next =
            leak == Leak::unbiased ? leaked : clamp32(leaked, low, high) + added;
        v[k] = form == Form::replace && fires ? spike : next;
      }
      spikes[k] = fires;
    }
    close_block(row, first, count);
  }
}

// The general scope, for columns in the general form.
template <bool current_goes_right>
void lif_step_general(const NarrowArithmetic& arithmetic,
                      const LifColumns<const int32_t*>& columns, int64_t count,
                      const LifRow& row) {
  const NarrowArithmetic ops = arithmetic;
  const Each multiplier(columns.multiplier), fire_above(columns.fire_above);
  const Each on_spike(columns.on_spike), bias(columns.bias), from(columns.from), to(columns.to);
  const Each spike_bias(columns.spike_bias), spike_from(columns.spike_from);
  const Each spike_to(columns.spike_to), refractory_steps(columns.refractory_steps);
  for (int64_t first = 0; first < count; first += kLifBlock) {
    const LifRow block = open_block(row, first, count);
    const int32_t* current = block.current;
    int32_t* v = block.v;
    int32_t* r = block.r;
    uint8_t* spikes = block.spikes;
    int32_t* membrane = block.membrane;
    SNNQUANT_INDEPENDENT_LOOP
    for (int64_t k = 0; k < kLifBlock; ++k) {
      const int64_t n = first + k;
      const int32_t low = from[n], high = to[n], added = bias[n], spike = on_spike[n];
      const int32_t spike_low = spike_from[n], spike_high = spike_to[n];
      const int32_t spike_added = spike_bias[n], restarted = refractory_steps[n];
      const int32_t counter = r[k], given = current[k];
      const int32_t seen = counter == 0 ? given : 0;
      const int32_t v3 = current_goes_right ? ops.integrate_shifted_right(v[k], seen)
                                            : ops.integrate_shifted_left(v[k], seen);
      const bool fires = v3 > fire_above[n];
      const int32_t leaked = ops.scale<true>(multiplier[n], fires ? v3 - spike : v3);
      v[k] = clamp32(leaked, fires ? spike_low : low, fires ? spike_high : high) +
             (fires ? spike_added : added);
      r[k] = fires ? restarted : larger32(counter, 1) - 1;
      membrane[k] = v3;
      spikes[k] = fires;
    }
    close_block(row, first, count);
  }
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
