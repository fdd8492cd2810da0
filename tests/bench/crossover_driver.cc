// Times one fused layer on random spikes; prints microseconds, the median of many runs.
//
// usage: PROGRAM CHANNELS_IN CHANNELS_OUT MAP KERNEL STEPS BATCH RATE
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "core/kernels.h"
#include "core/layer.h"
#include "core/layer_run.h"

using namespace snnquant;
namespace kernels = snnquant::SNNQUANT_ISA;

int main(int count, char** words) {
  if (count != 8) return 2;
  const auto number = [&](int k) { return std::strtoll(words[k], nullptr, 10); };
  const int64_t in = number(1), out = number(2), size = number(3), kernel = number(4);
  const int64_t steps = number(5), batch = number(6);
  const double rate = std::strtod(words[7], nullptr);
  std::mt19937 random(1);

  LayerSource source = {};
  source.shape.y = source.shape.x = {kernel, 1, 1, kernel / 2};
  source.shape.channels_in = in;
  source.shape.channels_out = out;
  source.shape.groups = 1;
  source.weight_bits = 8;
  std::normal_distribution<double> weights(0, 30);
  std::vector<uint8_t> weight(static_cast<size_t>(out * kernel * kernel * in));
  for (uint8_t& w : weight) {
    w = static_cast<uint8_t>(static_cast<int8_t>(std::clamp(weights(random), -127.0, 127.0)));
  }
  const std::vector<int32_t> bias(static_cast<size_t>(out), 0);
  source.weight = weight.data();
  source.bias = bias.data();
  source.has_neuron = true;
  source.neuron = neuron::LIF;
  source.attributes[attribute::max_spikes] = 1;
  source.attributes[attribute::leak_shift] = 15;
  source.attributes[attribute::state_bits] = 32;
  const int32_t zero = 0, alpha = 29491, threshold = 2000;
  for (Constant& constant : source.constants) constant = {&zero, out};
  source.constants[constant::alpha] = {&alpha, out};
  source.constants[constant::fire_above] = source.constants[constant::reset_by] = {&threshold, out};
  source.initial[state::v] = source.constants[constant::v_init];
  source.has_state[state::v] = source.has_state[state::r] = true;
  const PreparedLayer prepared(source);

  LayerCall call = {};
  call.layer = &prepared.layer();
  const Kernels neurons = {"timed", kernels::prepare, kernels::scratch_bytes, kernels::run};
  call.neurons = &neurons;
  call.map = {batch, size, size, size, size};
  call.steps = steps;
  std::vector<uint8_t> input(static_cast<size_t>(steps * batch * size * size * in));
  std::vector<uint8_t> spikes(static_cast<size_t>(steps * batch * size * size * out));
  std::bernoulli_distribution fires(rate);
  for (uint8_t& value : input) value = fires(random);
  call.input = input.data();
  call.spikes = spikes.data();
  std::vector<char> scratch(static_cast<size_t>(kernels::layer_scratch_bytes(call)));

  std::vector<double> taken;
  const auto begun = std::chrono::steady_clock::now();
  for (double spent = 0; taken.size() < 7 || (spent < 0.3 && taken.size() < 20000);) {
    const auto before = std::chrono::steady_clock::now();
    for (int64_t part = 0; part < kernels::layer_parts(call); ++part) {
      kernels::run_layer_part(call, part, scratch.data());
    }
    const auto after = std::chrono::steady_clock::now();
    taken.push_back(std::chrono::duration<double, std::micro>(after - before).count());
    spent = std::chrono::duration<double>(after - begun).count();
  }
  std::nth_element(taken.begin(), taken.begin() + static_cast<int64_t>(taken.size() / 2),
                   taken.end());
  std::printf("%f\n", taken[taken.size() / 2]);
  return 0;
}
