// The arithmetic of arithmetic.h in 32-bit lanes, bit for bit, and when it may be used.
#pragma once

#include <cstdint>

#include "arithmetic.h"
#include "isa_namespace.h"
#include "problem.h"

namespace snnquant {
namespace SNNQUANT_ISA {

inline int32_t larger32(int32_t a, int32_t b) { return a > b ? a : b; }
inline int32_t smaller32(int32_t a, int32_t b) { return a < b ? a : b; }
inline bool fits_int32(int64_t v) { return v >= INT32_MIN && v <= INT32_MAX; }

// a + b limited to int32: a sum has overflowed where its sign is that of neither operand.
inline int32_t add_saturated(int32_t a, int32_t b) {
  const int32_t sum = static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  const int32_t limit = (a >> 31) ^ INT32_MAX;
  return ((a ^ sum) & (b ^ sum)) < 0 ? limit : sum;
}

// What is added to every product, whatever its sign, before it is shifted.
inline uint32_t rounding_addend(int how, uint32_t divisor) {
  if (how == rounding::nearest) return divisor >> 1;
  return how == rounding::ceil ? divisor - 1 : 0;
}

// Multipliers are brought to k / 2**16, whatever the leak shift, so that lanes shift by constants.
constexpr int kNarrowShift = 16;

struct NarrowArithmetic {
  int multiplier_shift;
  uint32_t half;           // added to a product before its shift
  uint32_t negative_half;  // added besides where the product is negative
  int left, right;         // shifts of the current, one of them 0
  int32_t low, high;

  explicit NarrowArithmetic(const Arithmetic& ops) {
    const uint32_t divisor = uint32_t{1} << ops.leak_shift;
    multiplier_shift = kNarrowShift - ops.leak_shift;
    half = rounding_addend(ops.leak_rounding, divisor) << multiplier_shift;
    negative_half = (ops.leak_rounding == rounding::toward_zero ? divisor - 1 : 0)
                    << multiplier_shift;
    left = ops.current_shift > 0 ? ops.current_shift : 0;
    right = ops.current_shift < 0 ? -ops.current_shift : 0;
    low = static_cast<int32_t>(ops.low);
    high = static_cast<int32_t>(ops.high);
  }

  int32_t saturate(int32_t v) const { return smaller32(larger32(v, low), high); }

  // saturate(v + current) for states of fewer than 32 bits and v within them.
  int32_t integrate_below_32_bits(int32_t v, int32_t current) const {
    return v + smaller32(larger32(current, low - v), high - v);
  }

  // saturate(v + current) for a current that `right`, at least 1, brings to the membrane's scale.
  int32_t integrate_shifted_right(int32_t v, int32_t current) const {
    const int32_t carry = (current >> (right - 1)) & 1;
    return saturate(add_saturated(v, (current >> right) + carry));
  }

  // The same for `left`, which may be 0.
  //
  // A current shifted left may need up to 56 bits. It is added in three parts that fit: they have
  // one sign, so that a sum that saturates early stays saturated, and three of them reach from one
  // end of int32 to the other.
  int32_t integrate_shifted_left(int32_t v, int32_t current) const {
    const int32_t one = fitting(current), two = fitting(current - one);
    const int32_t three = fitting(current - one - two);
    const int32_t sum = add_saturated(add_saturated(v, shifted(one)), shifted(two));
    return saturate(add_saturated(sum, shifted(three)));
  }

  // k / 2**16 for the multiplier of an alpha in [0, 1]
  int32_t multiplier(int32_t alpha) const { return alpha << multiplier_shift; }

  // k * v / 2**16 for 0 <= k <= 2**16.
  //
  // v = upper * 2**16 + lower splits the product: the first part needs no rounding, and k * lower
  // plus its rounding stays below 2**32.
  template <bool any_rounding>
  int32_t scale(int32_t multiplier, int32_t v) const {
    const uint32_t k = static_cast<uint32_t>(multiplier);
    const uint32_t upper = static_cast<uint32_t>(v >> kNarrowShift);
    const uint32_t lower = static_cast<uint32_t>(v) & 0xffffu;
    uint32_t added = half;
    if (any_rounding) added += static_cast<uint32_t>(v >> 31) & negative_half;
    return static_cast<int32_t>(k * upper + ((k * lower + added) >> kNarrowShift));
  }

  // Limits for which saturate(x + bias) == clamp(x, from, to) + bias; each is itself limited to
  // int32, where x ends anyway.
  int32_t from(int32_t bias) const { return low - smaller32(bias, low - INT32_MIN); }
  int32_t to(int32_t bias) const { return high - larger32(bias, high - INT32_MAX); }

 private:
  int32_t fitting(int32_t current) const {
    return smaller32(larger32(current, INT32_MIN >> left), INT32_MAX >> left);
  }
  int32_t shifted(int32_t fitting) const {
    return static_cast<int32_t>(static_cast<uint32_t>(fitting) << left);
  }
};

inline int32_t clamp32(int32_t v, int32_t from, int32_t to) {
  return smaller32(larger32(v, from), to);
}

// Smallest and largest value of a constant.
struct Extent {
  int64_t low, high;
};

inline Extent extent_of(const Constant& constant, int64_t neurons) {
  const int64_t count = neurons / constant.neurons_per_value;
  int32_t low = constant.values[0], high = constant.values[0];
  for (int64_t k = 1; k < count; ++k) {
    low = smaller32(low, constant.values[k]);
    high = larger32(high, constant.values[k]);
  }
  return {low, high};
}

// Whether a LIF computes the same in 32-bit lanes as in int64, for every current and state.
inline bool lif_fits_int32(const Problem& problem) {
  const Arithmetic ops(problem);
  if (problem.neuron != neuron::LIF || problem.recurrent_weight != nullptr) return false;
  if (ops.max_spikes != 1 || problem.neurons == 0) return false;
  const Extent alpha = extent_of(problem.constants[constant::alpha], problem.neurons);
  if (alpha.low < 0 || alpha.high > (int64_t{1} << ops.leak_shift)) return false;
  if (ops.reset == reset::hard || ops.reset == reset::none) return true;
  const Extent reset_by = extent_of(problem.constants[constant::reset_by], problem.neurons);
  if (ops.reset_after_leak) {
    const Extent bias = extent_of(problem.constants[constant::leak_bias], problem.neurons);
    return fits_int32(bias.low - reset_by.high) && fits_int32(bias.high - reset_by.low);
  }
  // A membrane that fires lies above fire_above; what is left of it must still fit.
  const Extent fire_above = extent_of(problem.constants[constant::fire_above], problem.neurons);
  return fits_int32(larger(ops.low, fire_above.low) - reset_by.high) &&
         fits_int32(ops.high - reset_by.low);
}

}  // namespace SNNQUANT_ISA
}  // namespace snnquant
