// Which kernels this processor can run.
#pragma once

#include <string>

#include "../core/peak_kernels.h"
#include "../core/problem.h"
#include "../core/spike_maps.h"
#include "../core/synapse.h"

namespace snnquant {

// Name of the environment variable that overrides the choice.
constexpr char kIsaVariable[] = "SNNQUANT_ISA";

// All kernels of one instruction set.
struct Isa {
  const char* name;
  const Kernels& neurons;
  const LayerKernels& layers;
  const SpikeMapKernels& spike_maps;
  const PeakKernels& peaks;
};

// Returns the kernels of the best instruction set that the processor has, or the one that the
// environment asks for. Where that one is unknown or unsupported, returns null and says why.
const Isa* select_isa(std::string* problem);

}  // namespace snnquant
