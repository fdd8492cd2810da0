// A neuron op: currents in, spikes or membranes out.
#pragma once

#include "node.h"

namespace snnquant {

class NeuronNode : public Node {
 public:
  NeuronNode(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info)
      : Node(api, op, isa, info) {}

  void compute(OrtKernelContext* context) const override;

 private:
  Constant constant_of(const PortEntry& port, const OrtValue* value, const Shape& features) const;
  void read_input(size_t index, OrtKernelContext* context, const Shape& shape,
                  Problem& problem) const;
  void allocate_output(size_t index, OrtKernelContext* context, const Shape& shape,
                       Problem& problem) const;
  void run(OrtKernelContext* context, const Problem& problem) const;
};

}  // namespace snnquant
