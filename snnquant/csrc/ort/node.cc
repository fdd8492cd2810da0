#include "node.h"

#include "layer_node.h"
#include "neuron_node.h"
#include "peak_node.h"
#include "spike_map_nodes.h"

namespace snnquant {
namespace {

std::string node_name(const OrtApi* api, const OrtKernelInfo* info) {
  size_t size = 0;
  check(api, api::KernelInfo_GetNodeName(api, info, nullptr, &size));
  std::string name(size, '\0');
  check(api, api::KernelInfo_GetNodeName(api, info, &name[0], &size));
  return name.c_str();  // without the terminator that the size counts
}

// Whether a call succeeded; forgets what it says otherwise.
bool succeeded(const OrtApi* api, OrtStatus* status) {
  if (status == nullptr) return true;
  api::ReleaseStatus(api, status);
  return false;
}

}  // namespace

Node::Node(const OrtApi* api, const OpEntry& op, const Isa& isa, const OrtKernelInfo* info)
    : api_(api), op_(op), isa_(isa) {
  where_ = "node '" + node_name(api, info) + "' (" + op.name + "): ";
  for (const AttributeEntry& entry : op.attributes) read_int(entry, info);
  for (const ListEntry& entry : op.lists) read_list(entry, info);
}

void Node::read_int(const AttributeEntry& entry, const OrtKernelInfo* info) {
  int64_t value = 0;
  const bool found =
      succeeded(api_, api::KernelInfoGetAttribute_int64(api_, info, entry.name, &value));
  if (!found || value < entry.low || value > entry.high) {
    fail(std::string("attribute '") + entry.name + "' is " +
         (found ? std::to_string(value) : "missing") + ", must be an integer from " +
         std::to_string(entry.low) + " to " + std::to_string(entry.high) + " (" + entry.doc + ")");
  }
  attributes_[entry.slot] = static_cast<int32_t>(value);
}

void Node::read_list(const ListEntry& entry, const OrtKernelInfo* info) {
  size_t size = 0;
  Shape values;
  bool good = succeeded(
      api_, api::KernelInfoGetAttributeArray_int64(api_, info, entry.name, nullptr, &size));
  if (good) {
    values.resize(size);
    good = succeeded(
        api_, api::KernelInfoGetAttributeArray_int64(api_, info, entry.name, values.data(), &size));
  }
  for (const int64_t value : values) good = good && entry.fits(value);
  if (!good) {
    fail(std::string("attribute '") + entry.name + "' is missing or out of range, must be a list " +
         "of integers from " + std::to_string(entry.low) + " (" + entry.doc + ")");
  }
  lists_[entry.slot] = values;
}

void Node::fail(const std::string& what) const { throw Failure(where_ + what); }

void Node::require_shape(const PortEntry& port, const Shape& found, const Shape& wanted,
                         const char* to) const {
  if (found == wanted) return;
  fail(std::string("input '") + port.name + "' has shape " + text_of(found) + ", must have " +
       text_of(wanted) + " to fit the " + to);
}

const OrtValue* Node::input(OrtKernelContext* context, size_t index) const {
  const OrtValue* value = nullptr;
  check(api_, api::KernelContext_GetInput(api_, context, index, &value));
  return value;
}

OrtValue* Node::output(OrtKernelContext* context, size_t index, const Shape& shape) const {
  OrtValue* value = nullptr;
  check(api_,
        api::KernelContext_GetOutput(api_, context, index, shape.data(), shape.size(), &value));
  return value;
}

std::unique_ptr<Node> make_node(const OrtApi* api, const OpEntry& op, const Isa& isa,
                                const OrtKernelInfo* info) {
  switch (op.family) {
    case Family::neuron:
      return std::make_unique<NeuronNode>(api, op, isa, info);
    case Family::fused:
    case Family::synapse:
      return std::make_unique<LayerNode>(api, op, isa, info);
    case Family::spike_max_pool:
    case Family::spike_sum_pool:
      return std::make_unique<PoolNode>(api, op, isa, info);
    case Family::spike_add:
      return std::make_unique<AddNode>(api, op, isa, info);
    case Family::time_sum:
      return std::make_unique<TimeSumNode>(api, op, isa, info);
    case Family::machine_peak:
      return std::make_unique<PeakNode>(api, op, isa, info);
  }
  throw Failure(std::string("op ") + op.name + " has no kernel", kCodeFail);
}

}  // namespace snnquant
