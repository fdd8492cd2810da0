// Ops on maps of spikes without synapses.
#pragma once

#include "node.h"
#include "window.h"

namespace snnquant {

class PoolNode : public Node {
 public:
  PoolNode(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info);
  void compute(OrtKernelContext* context) const override;

 private:
  Window window_;
};

class AddNode : public Node {
 public:
  AddNode(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info)
      : Node(api, op, isa, info) {}
  void compute(OrtKernelContext* context) const override;
};

class TimeSumNode : public Node {
 public:
  TimeSumNode(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info)
      : Node(api, op, isa, info) {}
  void compute(OrtKernelContext* context) const override;
};

}  // namespace snnquant
