// Runs one problem through the numeric core alone: no ONNX Runtime, no Python.
//
// usage: core_driver INPUT OUTPUT, both raw little-endian files written and read by
// test_numeric_core.py. The driver is compiled against the headers of snnquant/csrc/core.
//
// Under the sanitizers, from the repository root:
//   export SNNQUANT_TEST_CXXFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
//   python -m pytest tests/native/test_numeric_core.py
#include <cstdint>
#include <cstdio>
#include <vector>

#include "kernels.h"

namespace core = snnquant::SNNQUANT_ISA;

namespace {

template <class T>
std::vector<T> read(std::FILE* file, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  if (std::fread(values.data(), sizeof(T), values.size(), file) != values.size()) values.clear();
  return values;
}

template <class T>
void write(std::FILE* file, const std::vector<T>& values) {
  std::fwrite(values.data(), sizeof(T), values.size(), file);
}

// A file holds: neuron, attributes, steps, batch, neurons, recurrent, stateful, then the current,
// each constant as (count, values), and by the two flags the weight, the states and last spikes.
int run(std::FILE* in, std::FILE* out) {
  snnquant::Problem problem = {};
  const auto header = read<int64_t>(in, 1 + snnquant::attribute::count + 5);
  if (header.empty()) return 2;
  size_t next = 0;
  problem.neuron = static_cast<snnquant::neuron::Slot>(header[next++]);
  for (int32_t& value : problem.attributes) value = static_cast<int32_t>(header[next++]);
  problem.steps = header[next++];
  problem.batch = header[next++];
  problem.neurons = header[next++];
  const bool recurrent = header[next++] != 0;
  const bool stateful = header[next++] != 0;
  const int64_t cells = problem.batch * problem.neurons;

  const auto current = read<int32_t>(in, problem.steps * cells);
  problem.current = current.data();
  std::vector<std::vector<int32_t>> constants;
  for (auto& constant : problem.constants) {
    const int64_t count = read<int64_t>(in, 1).at(0);
    constants.push_back(read<int32_t>(in, count));
    if (count > 0) constant = {constants.back().data(), problem.neurons / count};
  }
  std::vector<int32_t> weight;
  if (recurrent) weight = read<int32_t>(in, problem.neurons * problem.neurons);
  if (recurrent) problem.recurrent_weight = weight.data();
  std::vector<std::vector<int32_t>> states;
  std::vector<uint8_t> last;
  if (stateful) {
    for (auto& state : problem.states_in) {
      states.push_back(read<int32_t>(in, cells));
      state = states.back().data();
    }
    if (recurrent) last = read<uint8_t>(in, cells);
    if (recurrent) problem.last_spikes_in = last.data();
  } else {
    problem.initial[snnquant::state::v] = problem.constants[snnquant::constant::v_init];
  }

  std::vector<uint8_t> spikes(current.size()), last_out(static_cast<size_t>(cells));
  std::vector<int32_t> membrane(current.size());
  problem.spikes = spikes.data();
  problem.membrane = membrane.data();
  std::vector<std::vector<int32_t>> finals(snnquant::state::count,
                                           std::vector<int32_t>(last_out.size()));
  for (int slot = 0; slot < snnquant::state::count; ++slot) {
    problem.states_out[slot] = finals[static_cast<size_t>(slot)].data();
  }
  if (recurrent) problem.last_spikes_out = last_out.data();

  // Twice: with the membrane wanted, and without, which is another loop of the LIF.
  for (const bool wanted : {true, false}) {
    if (!wanted) problem.membrane = nullptr;
    std::vector<uint8_t> again(spikes.size());
    if (!wanted) problem.spikes = again.data();
    core::prepare(problem);
    std::vector<char> scratch(static_cast<size_t>(core::scratch_bytes(problem)));
    // In two parts, as two threads would.
    const int64_t half = problem.batch / 2 * problem.neurons;
    core::run(problem, 0, half, scratch.data());
    core::run(problem, half, cells, scratch.data());
    if (!wanted && again != spikes) return 3;
  }
  write(out, spikes);
  write(out, membrane);
  for (const auto& final : finals) write(out, final);
  write(out, last_out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  std::FILE* in = std::fopen(argv[1], "rb");
  std::FILE* out = std::fopen(argv[2], "wb");
  if (in == nullptr || out == nullptr) return 1;
  const int status = run(in, out);
  std::fclose(in);
  return std::fclose(out) == 0 ? status : 1;
}
