// Draws fused layers, runs them through the kernels of one instruction set, and compares every
// spike, membrane and state with plain loops and the neuron's definition.
//
// usage: layer_driver FIRST_SEED CASES. Prints how many cases ran, and the first that differs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "core/kernels.h"
#include "core/layer.h"
#include "core/layer_run.h"

namespace {

using namespace snnquant;
namespace kernels = snnquant::SNNQUANT_ISA;

const Kernels kNeurons = {"tested", kernels::prepare, kernels::scratch_bytes, kernels::run};

struct Drawn {
  LayerSource source = {};
  LayerCall call = {};
  std::vector<uint8_t> weight, input, last_spikes;
  std::vector<int32_t> bias, residual, recurrent;
  std::vector<int32_t> constants[constant::count], states[state::count];
  std::vector<int8_t> plain;  // [channels_out][fan_in]
};

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  int64_t between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  bool chance(int percent) { return between(0, 99) < percent; }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + between(0, static_cast<int64_t>(choices.size()) - 1));
  }

 private:
  std::mt19937_64 random_;
};

Axis draw_axis(Draw& draw) {
  return {draw.between(1, 4), draw.between(1, 5), draw.one_of<int64_t>({1, 1, 2, 3}),
          draw.between(0, 3)};
}

void draw_shape(Draw& draw, Drawn* d) {
  SynapseShape& shape = d->source.shape;
  MapShape& map = d->call.map;
  const bool linear = draw.chance(40);
  shape.y = shape.x = {1, 1, 1, 0};
  map.batch = draw.one_of<int64_t>({0, 1, 1, 2, 3, 5});
  shape.groups = 1;
  if (linear) {
    map.in_y = map.in_x = map.out_y = map.out_x = 1;
    shape.channels_in = draw.one_of<int64_t>({1, 3, 7, 64, 65, 130, 400, 700});
    shape.channels_out = draw.one_of<int64_t>({1, 10, 63, 64, 65, 128, 200, 321});
    if (map.batch > 0 && draw.chance(10)) map.batch = 70;
  } else {
    const bool flat = draw.chance(25);
    if (!flat) shape.y = draw_axis(draw);
    shape.x = draw_axis(draw);
    if (draw.chance(20)) shape.y = shape.x = {1, 1, 1, 0};
    map.in_y = flat ? 1 : draw.between(0, 9);
    map.in_x = draw.between(0, 11);
    if (draw.chance(3)) map.in_x = 140;
    if (!flat && draw.chance(75)) shape.y.pad_behind = draw.between(0, 3);
    if (draw.chance(75)) shape.x.pad_behind = draw.between(0, 3);
    map.out_y = shape.y.out_size(map.in_y);
    map.out_x = shape.x.out_size(map.in_x);
    shape.groups = draw.one_of<int64_t>({1, 1, 1, 2, 3, 5});
    shape.channels_in = shape.groups * draw.one_of<int64_t>({1, 1, 2, 5, 16, 67});
    shape.channels_out = shape.groups * draw.one_of<int64_t>({1, 2, 9, 17, 64, 70});
  }
  shape.zero_point = draw.chance(25) ? static_cast<int32_t>(draw.between(0, 255)) : 0;
  shape.gain_shift = draw.chance(20) ? static_cast<int32_t>(draw.between(1, 6)) : 0;
}

void draw_weights(Draw& draw, Drawn* d) {
  LayerSource& source = d->source;
  const SynapseShape& shape = source.shape;
  source.weight_bits = draw.one_of<int32_t>({8, 8, 4, 2});
  const int64_t per_byte = 8 / source.weight_bits, limit = int64_t{1} << (source.weight_bits - 1);
  const int64_t row_bytes = (shape.fan_in() + per_byte - 1) / per_byte;
  d->weight.assign(static_cast<size_t>(row_bytes * shape.channels_out), 0);
  d->plain.resize(static_cast<size_t>(shape.fan_in() * shape.channels_out));
  const bool extreme = draw.chance(20);
  for (int64_t c = 0; c < shape.channels_out; ++c) {
    for (int64_t k = 0; k < shape.fan_in(); ++k) {
      int64_t w = draw.between(-limit, limit - 1);
      if (extreme) w = c % 2 == 0 ? limit - 1 : -limit;
      d->plain[static_cast<size_t>(c * shape.fan_in() + k)] = static_cast<int8_t>(w);
      uint8_t& byte = d->weight[static_cast<size_t>(c * row_bytes + k / per_byte)];
      const int64_t field = source.weight_bits == 8 ? w & 0xff : w + limit;
      byte = static_cast<uint8_t>(byte | field << (source.weight_bits * (k % per_byte)));
    }
    d->bias.push_back(static_cast<int32_t>(draw.chance(30) ? draw.between(-3000, 3000) : 0));
  }
  source.weight = d->weight.data();
  source.bias = d->bias.data();
}

void draw_neuron(Draw& draw, Drawn* d) {
  LayerSource& source = d->source;
  source.has_neuron = !draw.chance(10);
  source.neuron =
      draw.chance(70) ? neuron::LIF : static_cast<neuron::Slot>(draw.between(0, neuron::count - 1));
  int32_t* a = source.attributes;
  const bool plain = draw.chance(60);
  a[attribute::reset] = static_cast<int32_t>(draw.between(0, 3));
  a[attribute::reset_after_leak] = draw.chance(30);
  a[attribute::max_spikes] = plain ? 1 : static_cast<int32_t>(draw.between(1, 4));
  a[attribute::refractory] = plain ? 0 : draw.chance(40);
  a[attribute::leak_shift] = draw.one_of<int32_t>({0, 3, 8, 15, 15, 16});
  a[attribute::leak_rounding] =
      plain ? draw.one_of<int32_t>({0, 0, 1, 3}) : static_cast<int32_t>(draw.between(0, 3));
  a[attribute::current_shift] =
      plain ? draw.one_of<int32_t>({0, 0, 2, -1, -7, -31}) : static_cast<int32_t>(draw.between(-4, 8));
  a[attribute::state_bits] = draw.one_of<int32_t>({32, 32, 28, 16, 8});
  a[attribute::synaptic] = draw.chance(50);
  const int64_t unit = int64_t{1} << a[attribute::leak_shift];
  const int64_t reach = draw.one_of<int64_t>({20, 2000, 60000, 1 << 26});
  for (int slot = 0; slot < constant::count; ++slot) {
    const bool each = draw.chance(40);
    const int64_t count = each ? source.shape.channels_out : 1;
    for (int64_t k = 0; k < count; ++k) {
      int64_t value = draw.between(-reach / 8, reach);
      if (slot == constant::alpha || slot == constant::alpha_syn ||
          slot == constant::threshold_decay) {
        value = draw.chance(15) ? unit : draw.between(unit / 2, unit);
      } else if (slot == constant::leak_bias || slot == constant::threshold_bias) {
        value = draw.chance(50) ? 0 : draw.between(-20, 20);
      } else if (slot == constant::refractory_steps) {
        value = draw.between(0, 3);
      } else if (slot == constant::v_init || slot == constant::v_reset) {
        value = draw.chance(60) ? 0 : draw.between(-100, 100);
      } else if (slot == constant::v_min) {
        value = -reach;
      }
      d->constants[slot].push_back(static_cast<int32_t>(value));
    }
    source.constants[slot] = {d->constants[slot].data(), each ? 1 : source.shape.channels_out};
  }
  source.initial[state::v] = source.constants[constant::v_init];
  source.has_state[state::v] = source.has_state[state::r] = true;
  source.has_state[state::i] = source.neuron == neuron::CubaLIF || source.neuron == neuron::LI;
  source.has_state[state::a] = source.neuron == neuron::ExtendedLIF;
  if (source.neuron == neuron::LI) source.has_state[state::r] = false;
}

void draw_call(Draw& draw, Drawn* d) {
  LayerCall& call = d->call;
  const SynapseShape& shape = d->source.shape;
  const MapShape& map = call.map;
  const bool spiking = d->source.has_neuron && d->source.neuron != neuron::LI;
  call.steps = draw.one_of<int64_t>({1, 1, 2, 3, 4, 4, 5, 8, 17, 40});
  if (!d->source.has_neuron) call.steps = 1;
  call.is_static = d->source.has_neuron && draw.chance(20);
  const bool small = map.out_y == 1 && map.out_x == 1 && map.in_y == 1 && map.in_x == 1;
  const bool recurrent = spiking && small && shape.one_position() && shape.groups == 1 &&
                         shape.channels_out <= 130 && draw.chance(30);
  d->source.recurrent = recurrent;
  const int64_t rows = call.is_static ? 1 : call.steps;
  const int64_t inputs = rows * map.batch * map.in_y * map.in_x * shape.channels_in;
  const int64_t cells = map.batch * map.out_y * map.out_x * shape.channels_out;
  const int64_t percent = draw.one_of<int64_t>({0, 1, 5, 20, 50, 100});
  const int64_t most = draw.one_of<int64_t>({1, 1, 1, 3, 128, 255});
  // Spikes that lie above the input that counts as 0, or inputs on both sides of it.
  const int64_t silent = draw.chance(70) ? shape.zero_point : 0;
  const int64_t highest = std::min<int64_t>(silent + most, UINT8_MAX);
  for (int64_t k = 0; k < inputs; ++k) {
    const bool active = silent < highest && draw.chance(static_cast<int>(percent));
    d->input.push_back(static_cast<uint8_t>(active ? draw.between(silent + 1, highest) : silent));
  }
  if (inputs > 0 && draw.chance(10)) d->input[static_cast<size_t>(draw.between(0, inputs - 1))] = 0;
  d->input.shrink_to_fit();
  call.input = d->input.data();
  if (!call.is_static && !recurrent && draw.chance(20)) {
    for (int64_t k = 0; k < call.steps * cells; ++k) {
      d->residual.push_back(static_cast<int32_t>(draw.between(-5000, 5000)));
    }
    call.residual = d->residual.data();
    if (d->residual.empty()) call.residual = nullptr;
  }
  if (recurrent) {
    for (int64_t k = 0; k < shape.channels_out * shape.channels_out; ++k) {
      d->recurrent.push_back(static_cast<int32_t>(draw.between(-60, 60)));
    }
    call.recurrent_weight = d->recurrent.data();
  }
  if (!d->source.has_neuron || !draw.chance(40)) return;
  const int64_t limit = int64_t{1} << (d->source.attributes[attribute::state_bits] - 1);
  const int64_t reach = draw.one_of<int64_t>({10, 3000, 25000, limit - 1});
  for (int slot = 0; slot < state::count; ++slot) {
    if (!d->source.has_state[slot]) continue;
    for (int64_t k = 0; k < cells; ++k) {
      const int64_t most_here = reach < limit ? reach : limit - 1;
      const int64_t value =
          slot == state::r ? draw.between(0, 2) : draw.between(-most_here, most_here);
      d->states[slot].push_back(static_cast<int32_t>(value));
    }
    call.states_in[slot] = d->states[slot].data();
  }
  if (!recurrent) return;
  for (int64_t k = 0; k < cells; ++k) d->last_spikes.push_back(draw.chance(20));
  call.last_spikes_in = d->last_spikes.data();
}

// Currents by the definition of a convolution.
std::vector<int32_t> plain_currents(const Drawn& d) {
  const SynapseShape& s = d.source.shape;
  const MapShape& m = d.call.map;
  std::vector<int32_t> currents;
  for (int64_t t = 0; t < d.call.steps; ++t) {
    for (int64_t b = 0; b < m.batch; ++b) {
      for (int64_t y = 0; y < m.out_y; ++y) {
        for (int64_t x = 0; x < m.out_x; ++x) {
          for (int64_t n = 0; n < s.channels_out; ++n) {
            int64_t sum = 0, k = 0;
            const int64_t first = n / s.group_out() * s.group_in();
            for (int64_t ky = 0; ky < s.y.kernel; ++ky) {
              for (int64_t kx = 0; kx < s.x.kernel; ++kx) {
                const int64_t iy = y * s.y.stride - s.y.pad + ky * s.y.dilation;
                const int64_t ix = x * s.x.stride - s.x.pad + kx * s.x.dilation;
                const bool inside = iy >= 0 && iy < m.in_y && ix >= 0 && ix < m.in_x;
                for (int64_t c = 0; c < s.group_in(); ++c, ++k) {
                  if (!inside) continue;
                  const int64_t row = (d.call.is_static ? 0 : t) * m.batch + b;
                  const int64_t at = ((row * m.in_y + iy) * m.in_x + ix) * s.channels_in;
                  sum += int64_t{d.plain[static_cast<size_t>(n * s.fan_in() + k)]} *
                         (d.input[static_cast<size_t>(at + first + c)] - s.zero_point);
                }
              }
            }
            const size_t place = currents.size();
            int64_t current = sum * (int64_t{1} << s.gain_shift) + d.bias[static_cast<size_t>(n)];
            if (d.call.residual != nullptr) current += d.call.residual[place];
            currents.push_back(static_cast<int32_t>(current));
          }
        }
      }
    }
  }
  return currents;
}

struct Results {
  std::vector<uint8_t> spikes, last;
  std::vector<int32_t> values, states[state::count];

  Results(const Drawn& d, int64_t cells)
      : spikes(static_cast<size_t>(d.call.steps * cells), 7),
        last(static_cast<size_t>(cells), 7),
        values(static_cast<size_t>(d.call.steps * cells), 7) {
    for (auto& array : states) array.assign(static_cast<size_t>(cells), 7);
  }
  bool operator==(const Results& other) const {
    for (int s = 0; s < state::count; ++s) {
      if (states[s] != other.states[s]) return false;
    }
    return spikes == other.spikes && values == other.values && last == other.last;
  }
};

// The neuron's definition over all positions at once.
void run_plain(const Drawn& d, Results* out) {
  const std::vector<int32_t> currents = plain_currents(d);
  if (!d.source.has_neuron) {
    out->values = currents;
    return;
  }
  const MapShape& m = d.call.map;
  Problem p = {};
  p.neuron = d.source.neuron;
  for (int k = 0; k < attribute::count; ++k) p.attributes[k] = d.source.attributes[k];
  p.steps = d.call.steps;
  p.batch = m.batch * m.out_y * m.out_x;
  p.neurons = d.source.shape.channels_out;
  p.current = currents.data();
  for (int k = 0; k < constant::count; ++k) p.constants[k] = d.source.constants[k];
  const bool reads_out = p.neuron == neuron::LI;
  p.spikes = reads_out ? nullptr : out->spikes.data();
  p.membrane = reads_out ? out->values.data() : nullptr;
  for (int s = 0; s < state::count; ++s) {
    p.initial[s] = d.source.initial[s];
    p.states_in[s] = d.call.states_in[s];
    if (d.source.has_state[s]) p.states_out[s] = out->states[s].data();
  }
  p.recurrent_weight = d.call.recurrent_weight;
  if (p.recurrent_weight != nullptr) {
    p.last_spikes_in = d.call.last_spikes_in;
    p.last_spikes_out = out->last.data();
  }
  const int64_t total = p.batch * p.neurons;
  std::vector<char> scratch(static_cast<size_t>(kernels::exact_scratch_bytes(p)));
  if (total == 0) return;
  kernels::run_exact(p, kernels::exact_step_of(p.neuron), 0, total, scratch.data());
}

void run_layer(Drawn& d, Results* out) {
  const PreparedLayer prepared(d.source);
  LayerCall call = d.call;
  call.layer = &prepared.layer();
  call.neurons = &kNeurons;
  const bool reads_out = !d.source.has_neuron || d.source.neuron == neuron::LI;
  call.spikes = reads_out ? nullptr : out->spikes.data();
  call.values = reads_out ? out->values.data() : nullptr;
  if (d.source.has_neuron) {
    for (int s = 0; s < state::count; ++s) {
      if (d.source.has_state[s]) call.states_out[s] = out->states[s].data();
    }
    if (d.source.recurrent) call.last_spikes_out = out->last.data();
  }
  const int64_t parts = kernels::layer_parts(call);
  const auto bytes = static_cast<size_t>(kernels::layer_scratch_bytes(call));
  for (int64_t part = 0; part < parts; ++part) {
    // A block of its own, so that a sanitizer sees what is read or written outside.
    const std::unique_ptr<char[]> scratch(new char[bytes]);
    kernels::run_layer_part(call, part, scratch.get());
  }
}

bool agrees(uint64_t seed) {
  Draw draw(seed);
  Drawn d;
  draw_shape(draw, &d);
  draw_weights(draw, &d);
  draw_neuron(draw, &d);
  draw_call(draw, &d);
  const MapShape& m = d.call.map;
  const int64_t cells = m.batch * m.out_y * m.out_x * d.source.shape.channels_out;
  Results wanted(d, cells), found(d, cells);
  run_plain(d, &wanted);
  run_layer(d, &found);
  if (wanted == found) return true;
  const SynapseShape& s = d.source.shape;
  std::printf(
      "seed %llu differs: T %lld B %lld in %lldx%lldx%lld out %lldx%lldx%lld groups %lld "
      "bits %d neuron %d static %d residual %d recurrent %d states %d lif %d\n",
      static_cast<unsigned long long>(seed), static_cast<long long>(d.call.steps),
      static_cast<long long>(m.batch), static_cast<long long>(m.in_y),
      static_cast<long long>(m.in_x), static_cast<long long>(s.channels_in),
      static_cast<long long>(m.out_y), static_cast<long long>(m.out_x),
      static_cast<long long>(s.channels_out), static_cast<long long>(s.groups),
      d.source.weight_bits, d.source.has_neuron ? d.source.neuron : -1, d.call.is_static,
      d.call.residual != nullptr, d.source.recurrent, d.call.states_in[0] != nullptr,
      PreparedLayer(d.source).layer().lif != nullptr);
  return false;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const uint64_t first = std::strtoull(arguments[1], nullptr, 10);
  const uint64_t cases = std::strtoull(arguments[2], nullptr, 10);
  for (uint64_t seed = first; seed < first + cases; ++seed) {
    if (!agrees(seed)) return 1;
  }
  std::printf("%llu cases agree\n", static_cast<unsigned long long>(cases));
  return 0;
}
