#include "layer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "fast_lif.h"
#include "unpack.h"

namespace snnquant {
namespace {

using baseline::Arithmetic;
using baseline::Form;

constexpr uintptr_t kAlignment = 64;
// Rows are numbered in 16 bits, the row of zeros included.
constexpr int64_t kMostRows = 65535;

// One weight of the source: of an output channel, and by its place among that channel's inputs.
int32_t weight_of(const LayerSource& source, int64_t channel, int64_t input) {
  const int64_t per_byte = 8 / source.weight_bits;
  const int64_t row_bytes = (source.shape.fan_in() + per_byte - 1) / per_byte;
  const uint8_t byte = source.weight[channel * row_bytes + input / per_byte];
  if (source.weight_bits == 8) return static_cast<int8_t>(byte);
  return baseline::field_of(byte, source.weight_bits, input % per_byte);
}

// Writes a weight into the field of a byte that holds `bits` wide ones.
void put_field(uint8_t* byte, int bits, int64_t index, int32_t weight) {
  const int mask = (1 << bits) - 1;
  const int field = bits == 8 ? weight & 0xff : (weight + (1 << (bits - 1))) & mask;
  *byte = static_cast<uint8_t>((*byte & ~(mask << (bits * index))) | (field << (bits * index)));
}

int32_t value_of(const Constant& constant, int64_t channel) {
  if (constant.values == nullptr) return 0;
  return constant.values[constant.neurons_per_value == 1 ? channel : 0];
}

int16_t clamp16(int64_t value) {
  return static_cast<int16_t>(std::min<int64_t>(std::max<int64_t>(value, INT16_MIN), INT16_MAX));
}

int64_t magnitude(int64_t value) { return value < 0 ? -value : value; }

// Lowest bits that every multiplier k / 2**leak_shift has 0: with them gone from both, products
// stay the same when rounded, and fit narrower lanes.
int spare_bits(const LayerSource& source, int leak_shift) {
  int spare = leak_shift;
  const int64_t channels = source.shape.channels_out;
  for (int64_t channel = 0; channel < channels; ++channel) {
    const int32_t alpha = value_of(source.constants[constant::alpha], channel);
    while (spare > 0 && alpha % (1 << spare) != 0) --spare;
  }
  return spare;
}

Form form_of(const Arithmetic& ops) {
  if (ops.reset == reset::hard) return Form::replace;
  const bool late = ops.reset_after_leak && ops.reset != reset::none;
  return late ? Form::leak_and_subtract : Form::subtract_and_leak;
}

}  // namespace

PreparedLayer::PreparedLayer(const LayerSource& source) {
  layer_.shape = SizedSynapse(source.shape);
  layer_.has_neuron = source.has_neuron;
  layer_.neuron = source.neuron;
  std::copy(std::begin(source.attributes), std::end(source.attributes), layer_.attributes);
  std::copy(std::begin(source.constants), std::end(source.constants), layer_.constants);
  std::copy(std::begin(source.initial), std::end(source.initial), layer_.initial);
  std::copy(std::begin(source.has_state), std::end(source.has_state), layer_.has_state);
  pack_weights(source);
  if (source.has_neuron && !source.recurrent) prepare_lif(source);
}

uint8_t* PreparedLayer::take(std::vector<uint8_t>* storage, int64_t bytes) {
  storage->assign(static_cast<size_t>(bytes) + kAlignment, 0);
  const auto address = reinterpret_cast<uintptr_t>(storage->data());
  return storage->data() + ((kAlignment - address % kAlignment) % kAlignment);
}

void PreparedLayer::pack_weights(const LayerSource& source) {
  const SynapseShape& shape = source.shape;
  PackedWeights& packed = layer_.weights;
  packed.bits = source.weight_bits;
  sums_.assign(static_cast<size_t>(shape.places()), 0);
  biases_.assign(static_cast<size_t>(shape.places()), 0);
  packed.sums_fit_int16 = true;
  for (int64_t channel = 0; channel < shape.channels_out; ++channel) {
    int64_t positive = 0, negative = 0;
    for (int64_t input = 0; input < shape.fan_in(); ++input) {
      const int32_t weight = weight_of(source, channel, input);
      (weight > 0 ? positive : negative) += weight;
      packed.largest = std::max(packed.largest, std::abs(weight));
    }
    const auto place = static_cast<size_t>(shape.place_of(channel));
    sums_[place] = static_cast<int32_t>(positive + negative);
    biases_[place] = source.bias[channel];
    if (positive > INT16_MAX || negative < INT16_MIN) packed.sums_fit_int16 = false;
  }
  packed.sums = sums_.data();
  packed.biases = biases_.data();
  if (shape.narrow()) {
    pack_narrow(source);
    return;
  }
  pack_dense(source);
  if (shape.fan_in() < kMostRows) pack_rows(source);
}

void PreparedLayer::pack_dense(const LayerSource& source) {
  const SynapseShape& shape = source.shape;
  PackedWeights& packed = layer_.weights;
  const int64_t run = shape.group_in() * (shape.joins_columns() ? shape.x.kernel : 1);
  const int64_t run_groups = (run + 3) / 4;
  packed.dense_groups = shape.fan_in() / std::max<int64_t>(run, 1) * run_groups;
  packed.tile_bytes = packed.dense_groups * 4 * kTile * packed.bits / 8;
  const int64_t per_byte = 8 / packed.bits;
  uint8_t* bytes = take(&dense_, shape.groups * shape.tiles() * packed.tile_bytes);
  packed.dense = bytes;
  if (packed.bits != 8) {
    const int zero = packed.bits == 4 ? 0x88 : 0xaa;
    std::memset(bytes, zero, static_cast<size_t>(shape.groups * shape.tiles() * packed.tile_bytes));
  }
  for (int64_t channel = 0; channel < shape.channels_out; ++channel) {
    const int64_t group = channel / shape.group_out(), within = channel % shape.group_out();
    uint8_t* tile = bytes + (group * shape.tiles() + within / kTile) * packed.tile_bytes;
    for (int64_t input = 0; input < shape.fan_in(); ++input) {
      const int64_t four = input / run * run_groups + input % run / 4;
      const int64_t index = (four * kTile + within % kTile) * 4 + input % run % 4;
      put_field(tile + index / per_byte, packed.bits, index % per_byte,
                weight_of(source, channel, input));
    }
  }
}

void PreparedLayer::pack_rows(const LayerSource& source) {
  const SynapseShape& shape = source.shape;
  PackedWeights& packed = layer_.weights;
  const int64_t tile_bytes = kTile * packed.bits / 8;
  packed.row_bytes = shape.tiles() * tile_bytes;
  const int64_t group_bytes = (shape.fan_in() + 1) * packed.row_bytes;
  uint8_t* bytes = take(&rows_, shape.groups * group_bytes);
  packed.rows = bytes;
  const auto put = [&](uint8_t* row, int64_t within, int32_t weight) {
    uint8_t* tile = row + within / kTile * tile_bytes;
    const int64_t c = within % kTile;
    if (packed.bits == 8) {
      // The low byte of a lane counts from 128 below.
      const bool low = c < kTile / 2;
      tile[row_place(c)] = static_cast<uint8_t>(low ? weight + 128 : weight);
    } else {
      put_field(tile + c % tile_bytes, packed.bits, c / tile_bytes, weight);
    }
  };
  for (int64_t group = 0; group < shape.groups; ++group) {
    for (int64_t input = 0; input <= shape.fan_in(); ++input) {
      uint8_t* row = bytes + group * group_bytes + input * packed.row_bytes;
      for (int64_t within = 0; within < shape.tiles() * kTile; ++within) {
        const bool held = input < shape.fan_in() && within < shape.group_out();
        const int64_t channel = group * shape.group_out() + within;
        put(row, within, held ? weight_of(source, channel, input) : 0);
      }
    }
  }
}

void PreparedLayer::pack_narrow(const LayerSource& source) {
  const SynapseShape& shape = source.shape;
  int8_t* weights = reinterpret_cast<int8_t*>(take(&narrow_, shape.fan_in() * shape.channels_out));
  layer_.weights.narrow = weights;
  for (int64_t input = 0; input < shape.fan_in(); ++input) {
    for (int64_t channel = 0; channel < shape.channels_out; ++channel) {
      weights[input * shape.channels_out + channel] =
          static_cast<int8_t>(weight_of(source, channel, input));
    }
  }
}

void PreparedLayer::prepare_lif(const LayerSource& source) {
  Problem problem = {};
  problem.neuron = source.neuron;
  std::copy(std::begin(source.attributes), std::end(source.attributes), problem.attributes);
  const Arithmetic ops(problem);
  if (source.neuron != neuron::LIF || ops.max_spikes != 1 || ops.refractory) return;
  if (ops.leak_rounding == rounding::toward_zero) return;
  // A current that goes right takes its gain and bias along, in front of the tile.
  const bool goes_right = ops.current_shift < 0;
  const int left = goes_right ? 0 : source.shape.gain_shift + ops.current_shift;
  if (left > 30) return;
  const Form form = form_of(ops);
  const int64_t unit = int64_t{1} << ops.leak_shift;
  TileLif& lif = lif_;
  lif.form = static_cast<int32_t>(form);
  lif.floors = ops.leak_rounding == rounding::floor;
  lif.left = left;
  lif.right = goes_right ? -ops.current_shift : 0;
  lif.shift = ops.leak_shift;
  lif.limit = ops.high;
  lif.fits16 = ops.leak_rounding != rounding::ceil;

  const auto places = static_cast<size_t>(source.shape.places());
  lanes16_.assign(8 * places, 0);
  lanes32_.assign(8 * places, 0);
  int16_t* narrow[8];
  int32_t* wide[8];
  for (size_t k = 0; k < 8; ++k) {
    narrow[k] = lanes16_.data() + k * places;
    wide[k] = lanes32_.data() + k * places;
  }
  // Lanes behind the last channel never fire.
  std::fill(narrow[2], narrow[2] + places, int16_t{INT16_MAX});
  std::fill(wide[2], wide[2] + places, INT32_MAX);

  const SynapseShape& shape = source.shape;
  const int spare = spare_bits(source, ops.leak_shift);
  lif.shift -= spare;
  lif.half =
      static_cast<int32_t>(baseline::rounding_addend(ops.leak_rounding, uint32_t{1} << lif.shift));
  bool any_unit = false;
  for (int64_t channel = 0; channel < shape.channels_out; ++channel) {
    const auto constant = [&](constant::Slot slot) {
      return value_of(source.constants[slot], channel);
    };
    const int64_t alpha = constant(constant::alpha);
    if (alpha < 0 || alpha > unit) return;
    const int64_t offset =
        goes_right ? 0
                   : static_cast<int64_t>(source.bias[channel]) * (int64_t{1} << ops.current_shift);
    if (offset > INT32_MAX || offset < -int64_t{INT32_MAX}) return;
    const int32_t reset_by = ops.reset == reset::none ? 0 : constant(constant::reset_by);
    const bool subtracts = form != Form::replace;
    if (subtracts && reset_by < 0) return;
    if (form == Form::leak_and_subtract &&
        !baseline::fits_int32(int64_t{constant(constant::leak_bias)} - reset_by)) {
      return;
    }
    const auto p = baseline::prepare_lif(
        baseline::NarrowArithmetic(ops), ops, form,
        {constant(constant::alpha), constant(constant::leak_bias), constant(constant::fire_above),
         constant(constant::reset_by), constant(constant::v_reset), 0});
    const auto n = static_cast<size_t>(shape.place_of(channel));
    const int32_t initial = value_of(source.initial[state::v], channel);
    const int64_t after = form == Form::subtract_and_leak && p.on_spike > 0
                              ? int64_t{p.on_spike} - p.fire_above - 1
                              : (form == Form::replace ? magnitude(p.on_spike) : 0);
    lif.start = std::max({lif.start, magnitude(initial), after});
    const int64_t biased = std::max(magnitude(p.bias), magnitude(p.spike_bias));
    lif.growth = std::max(lif.growth, biased + magnitude(offset));
    lif.leaks = lif.leaks || alpha != unit;
    lif.largest_alpha = std::max(lif.largest_alpha, alpha >> spare);

    int64_t k16 = alpha << (16 - ops.leak_shift);  // of k / 2**16
    if (!lif.floors) {
      if (k16 % 2 != 0) lif.fits16 = false;
      k16 /= 2;
      if (k16 > INT16_MAX) k16 = -1;
    } else if (k16 > UINT16_MAX) {
      k16 = -1;
    }
    if (k16 < 0 && alpha != unit) lif.fits16 = false;
    wide[0][n] = static_cast<int32_t>(alpha >> spare);
    wide[1][n] = p.multiplier;
    wide[2][n] = p.fire_above;
    wide[3][n] = p.on_spike;
    wide[4][n] = p.bias;
    wide[5][n] = p.spike_bias;
    wide[6][n] = static_cast<int32_t>(offset);
    wide[7][n] = initial;
    narrow[0][n] = static_cast<int16_t>(static_cast<uint16_t>(k16 < 0 ? 0 : k16));
    narrow[1][n] = lif.floors && k16 > INT16_MAX ? int16_t{-1} : int16_t{0};
    narrow[2][n] = clamp16(p.fire_above);
    // Not clamped: what a membrane is lowered by may be more than 16 bits hold though all that is
    // left of the membrane fits, and then counts modulo 2**16.
    narrow[3][n] = static_cast<int16_t>(static_cast<uint16_t>(p.on_spike));
    narrow[4][n] = clamp16(p.bias);
    narrow[5][n] = clamp16(p.spike_bias);
    narrow[6][n] = clamp16(offset);
    narrow[7][n] = clamp16(initial);
    any_unit = any_unit || alpha == unit;
  }
  // A leak of 1 has no place among 16-bit multipliers beside others.
  if (lif.leaks && any_unit) lif.fits16 = false;
  lif.multiplier16 = narrow[0];
  lif.wraps16 = narrow[1];
  lif.fire_above16 = narrow[2];
  lif.on_spike16 = narrow[3];
  lif.bias16 = narrow[4];
  lif.spike_bias16 = narrow[5];
  lif.offset16 = narrow[6];
  lif.initial16 = narrow[7];
  lif.alpha = wide[0];
  lif.multiplier = wide[1];
  lif.fire_above = wide[2];
  lif.on_spike = wide[3];
  lif.bias = wide[4];
  lif.spike_bias = wide[5];
  lif.offset = wide[6];
  lif.initial = wide[7];
  layer_.lif = &lif_;
}

}  // namespace snnquant
