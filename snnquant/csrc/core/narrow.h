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
inline int32_t saturate_to_int32(int64_t v) {
  return static_cast<int32_t>(smaller(larger(v, INT32_MIN), INT32_MAX));
}

// a + b limited to int32. Each bound is computed on the side where it cannot overflow.
inline int32_t add_saturated(int32_t a, int32_t b) {
  const int32_t most = INT32_MAX - larger32(a, 0);
  const int32_t least = INT32_MIN - smaller32(a, 0);
  return a + smaller32(larger32(b, least), most);
}

struct NarrowArithmetic {
  int leak_shift;
  uint32_t leak_half;      // added to a product before its shift
  uint32_t negative_half;  // added besides where the product is negative
  int left, right;         // shifts of the current, one of them 0
  int32_t low, high;

  explicit NarrowArithmetic(const Arithmetic& ops) {
    const uint32_t divisor = uint32_t{1} << ops.leak_shift;
    leak_shift = ops.leak_shift;
    leak_half = ops.leak_rounding == rounding::nearest ? divisor >> 1 : 0;
    negative_half = ops.leak_rounding == rounding::toward_zero ? divisor - 1 : 0;
    left = ops.current_shift > 0 ? ops.current_shift : 0;
    right = ops.current_shift < 0 ? -ops.current_shift : 0;
    low = static_cast<int32_t>(ops.low);
    high = static_cast<int32_t>(ops.high);
  }

  int32_t saturate(int32_t v) const { return smaller32(larger32(v, low), high); }

  // saturate(v + current), the current being on the membrane's scale.
  int32_t integrate(int32_t v, int32_t current) const {
    return saturate(add_saturated(v, current));
  }

  // The same for a current that `right` or `left` brings to the membrane's scale.
  //
  // A current shifted left may need up to 56 bits. It is added in three parts that fit: they have
  // one sign, so that a sum that saturates early stays saturated, and three of them reach from one
  // end of int32 to the other.
  int32_t align_and_integrate(int32_t v, int32_t current) const {
    if (right > 0) {
      const int32_t carry = (current >> (right - 1)) & 1;
      return integrate(v, (current >> right) + carry);
    }
    const int32_t most = INT32_MAX >> left;
    const int32_t least = INT32_MIN >> left;
    int32_t sum = v;
    for (int part = 0; part < 3; ++part) {
      const int32_t taken = smaller32(larger32(current, least), most);
      sum = add_saturated(sum, static_cast<int32_t>(static_cast<uint32_t>(taken) << left));
      current -= taken;
    }
    return saturate(sum);
  }

  // multiplier * v / 2**leak_shift for 0 <= multiplier <= 2**leak_shift, leak_shift <= 16.
  //
  // v = upper * 2**16 + lower splits the product: the first part needs no rounding, and
  // multiplier * lower plus its rounding stays below 2**32.
  int32_t scale(int32_t multiplier, int32_t v) const {
    const uint32_t k = static_cast<uint32_t>(multiplier);
    const uint32_t upper = static_cast<uint32_t>(v >> 16);
    const uint32_t lower = static_cast<uint32_t>(v) & 0xffffu;
    const uint32_t half = leak_half + (static_cast<uint32_t>(v >> 31) & negative_half);
    return static_cast<int32_t>(((k * upper) << (16 - leak_shift)) +
                                ((k * lower + half) >> leak_shift));
  }
};

// Adding a bias and saturating in one: saturate(x + bias) == clamp(x, from, to) + bias.
struct SaturatingBias {
  int32_t bias, from, to;
};

inline SaturatingBias saturating_bias(const Arithmetic& ops, int64_t bias) {
  return {static_cast<int32_t>(bias), saturate_to_int32(ops.low - bias),
          saturate_to_int32(ops.high - bias)};
}

// Smallest and largest value of a constant.
struct Extent {
  int64_t low, high;
};

inline Extent extent_of(const Constant& constant, int64_t neurons) {
  const int64_t count = neurons / constant.neurons_per_value;
  Extent found = {constant.values[0], constant.values[0]};
  for (int64_t k = 1; k < count; ++k) {
    found.low = smaller(found.low, constant.values[k]);
    found.high = larger(found.high, constant.values[k]);
  }
  return found;
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
