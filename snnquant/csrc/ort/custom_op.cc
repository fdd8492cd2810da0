#include "custom_op.h"

#include <limits>
#include <memory>

#include "failure.h"
#include "node.h"

namespace snnquant {
namespace {

// A node, with what its callbacks need to report an error.
struct Instance {
  const OrtApi* api;
  std::unique_ptr<Node> node;
};

const CustomOp& self(const OrtCustomOp* op) { return *static_cast<const CustomOp*>(op); }

const char* get_name(const OrtCustomOp* op) { return self(op).entry->name; }
const char* get_execution_provider(const OrtCustomOp*) { return nullptr; }  // the CPU
int get_input_type(const OrtCustomOp* op, size_t k) {
  return static_cast<int>(self(op).entry->inputs[k].type);
}
size_t get_input_count(const OrtCustomOp* op) { return self(op).entry->inputs.size; }
int get_output_type(const OrtCustomOp* op, size_t k) {
  return static_cast<int>(self(op).entry->outputs[k].type);
}
size_t get_output_count(const OrtCustomOp* op) { return self(op).entry->outputs.size; }
int get_characteristic(const OrtCustomOp*, size_t) { return kRequired; }
int get_memory_type(const OrtCustomOp*, size_t) { return kDefaultMemory; }
int get_arity(const OrtCustomOp*) { return 1; }  // no port is variadic
int get_start_version(const OrtCustomOp*) { return 1; }
int get_end_version(const OrtCustomOp*) { return std::numeric_limits<int>::max(); }

OrtStatus* create_kernel(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info,
                         void** kernel) {
  *kernel = nullptr;
  return guarded(api, [&] {
    const CustomOp& custom_op = self(op);
    *kernel = new Instance{api, make_node(api, *custom_op.entry, *custom_op.isa->load(), info)};
  });
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  const Instance& instance = *static_cast<const Instance*>(kernel);
  return guarded(instance.api, [&] { instance.node->compute(context); });
}

void destroy_kernel(void* kernel) { delete static_cast<Instance*>(kernel); }

OrtStatus* infer_shapes(const OrtCustomOp* op, OrtShapeInferContext* context) {
  const CustomOp& custom_op = self(op);
  return guarded(custom_op.api,
                 [&] { infer_output_shapes(custom_op.api, *custom_op.entry, context); });
}

}  // namespace

CustomOp make_custom_op(const OpEntry& entry, const OrtApi* api,
                        const std::atomic<const Isa*>* isa) {
  CustomOp op = {};
  op.version = kApiVersion;
  op.GetName = get_name;
  op.GetExecutionProviderType = get_execution_provider;
  op.GetInputType = get_input_type;
  op.GetInputTypeCount = get_input_count;
  op.GetOutputType = get_output_type;
  op.GetOutputTypeCount = get_output_count;
  op.KernelDestroy = destroy_kernel;
  op.GetInputCharacteristic = get_characteristic;
  op.GetOutputCharacteristic = get_characteristic;
  op.GetInputMemoryType = get_memory_type;
  op.GetVariadicInputMinArity = get_arity;
  op.GetVariadicInputHomogeneity = get_arity;
  op.GetVariadicOutputMinArity = get_arity;
  op.GetVariadicOutputHomogeneity = get_arity;
  op.CreateKernelV2 = create_kernel;
  op.KernelComputeV2 = compute;
  op.InferOutputShapeFn = infer_shapes;
  op.GetStartVersion = get_start_version;
  op.GetEndVersion = get_end_version;
  op.entry = &entry;
  op.api = api;
  op.isa = isa;
  return op;
}

}  // namespace snnquant
