// The part of ONNX Runtime's C interface that a custom-op library needs, as of version 17 (1.17).
//
// The interface is stable: functions keep their place in the table and later versions only append.
// ONNX Runtime's packages ship no header, so the places in use are declared here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace snnquant {

constexpr uint32_t kApiVersion = 17;

// Opaque to us.
struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtShapeInferContext;
struct OrtOpAttr;
struct OrtCustomOp;

// A structure of function pointers; the one at place k is called through an ApiFunction<k, ...>.
struct OrtApi;

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);  // null where the runtime is older
  const char* (*GetVersionString)();
};

template <size_t index, class Signature>
struct ApiFunction;

template <size_t index, class Result, class... Parameters>
struct ApiFunction<index, Result(Parameters...)> {
  Result operator()(const OrtApi* api, Parameters... arguments) const {
    using Function = Result (*)(Parameters...);
    return reinterpret_cast<const Function*>(api)[index](arguments...);
  }
};

using ParallelBody = void(void* data, size_t index);

namespace api {
constexpr ApiFunction<0, OrtStatus*(int code, const char* message)> CreateStatus{};
constexpr ApiFunction<2, const char*(const OrtStatus*)> GetErrorMessage{};
constexpr ApiFunction<26, OrtStatus*(const char* name, OrtCustomOpDomain**)> CreateCustomOpDomain{};
constexpr ApiFunction<27, OrtStatus*(OrtCustomOpDomain*, const OrtCustomOp*)>
    CustomOpDomain_Add{};
constexpr ApiFunction<28, OrtStatus*(OrtSessionOptions*, OrtCustomOpDomain*)> AddCustomOpDomain{};
constexpr ApiFunction<51, OrtStatus*(OrtValue*, void** data)> GetTensorMutableData{};
constexpr ApiFunction<57, OrtStatus*(OrtTensorTypeAndShapeInfo**)> CreateTensorTypeAndShapeInfo{};
constexpr ApiFunction<58, OrtStatus*(OrtTensorTypeAndShapeInfo*, int type)> SetTensorElementType{};
constexpr ApiFunction<59, OrtStatus*(OrtTensorTypeAndShapeInfo*, const int64_t* dims, size_t rank)>
    SetDimensions{};
constexpr ApiFunction<61, OrtStatus*(const OrtTensorTypeAndShapeInfo*, size_t* rank)>
    GetDimensionsCount{};
constexpr ApiFunction<62, OrtStatus*(const OrtTensorTypeAndShapeInfo*, int64_t* dims, size_t rank)>
    GetDimensions{};
constexpr ApiFunction<63, OrtStatus*(const OrtTensorTypeAndShapeInfo*, const char** names,
                                     size_t rank)>
    GetSymbolicDimensions{};
constexpr ApiFunction<65, OrtStatus*(const OrtValue*, OrtTensorTypeAndShapeInfo**)>
    GetTensorTypeAndShape{};
constexpr ApiFunction<86, OrtStatus*(const OrtKernelInfo*, const char* name, int64_t* value)>
    KernelInfoGetAttribute_int64{};
constexpr ApiFunction<90, OrtStatus*(const OrtKernelContext*, size_t index, const OrtValue**)>
    KernelContext_GetInput{};
constexpr ApiFunction<91, OrtStatus*(OrtKernelContext*, size_t index, const int64_t* dims,
                                     size_t rank, OrtValue**)>
    KernelContext_GetOutput{};
constexpr ApiFunction<93, void(OrtStatus*)> ReleaseStatus{};
constexpr ApiFunction<99, void(OrtTensorTypeAndShapeInfo*)> ReleaseTensorTypeAndShapeInfo{};
constexpr ApiFunction<101, void(OrtCustomOpDomain*)> ReleaseCustomOpDomain{};
constexpr ApiFunction<163, OrtStatus*(const OrtKernelInfo*, const char* name, int64_t* values,
                                      size_t* size)>
    KernelInfoGetAttributeArray_int64{};
constexpr ApiFunction<244, OrtStatus*(const OrtKernelInfo*, char* name, size_t* size)>
    KernelInfo_GetNodeName{};
constexpr ApiFunction<249, OrtStatus*(const OrtKernelInfo*, size_t index, int* is_constant,
                                      const OrtValue**)>
    KernelInfoGetConstantInput_tensor{};
// The runtime keeps what this returns; it is not released.
constexpr ApiFunction<268, OrtStatus*(const OrtShapeInferContext*, size_t index,
                                      OrtTensorTypeAndShapeInfo**)>
    ShapeInferContext_GetInputTypeShape{};
constexpr ApiFunction<270, OrtStatus*(const OrtShapeInferContext*, size_t index,
                                      const OrtTensorTypeAndShapeInfo*)>
    ShapeInferContext_SetOutputTypeShape{};
constexpr ApiFunction<271, OrtStatus*(OrtTensorTypeAndShapeInfo*, const char** names, size_t rank)>
    SetSymbolicDimensions{};
constexpr ApiFunction<269, OrtStatus*(const OrtShapeInferContext*, const char* name,
                                      const OrtOpAttr**)>
    ShapeInferContext_GetAttribute{};
constexpr ApiFunction<272, OrtStatus*(const OrtOpAttr*, int type, void* data, size_t bytes,
                                      size_t* written)>
    ReadOpAttr{};
constexpr ApiFunction<274, OrtStatus*(const OrtKernelContext*, ParallelBody*, size_t count,
                                      size_t batches, void* data)>
    KernelContext_ParallelFor{};
}  // namespace api

// What the runtime calls. None of the functions may let an exception out.
struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  int (*GetInputType)(const OrtCustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  void (*KernelDestroy)(void* kernel);
  int (*GetInputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*,
                               void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, OrtShapeInferContext*);
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
  void* of_later_versions[4];  // not read for an op of version 17; kept null
};

static_assert(offsetof(OrtCustomOp, CreateKernel) == 1 * sizeof(void*), "place in the interface");
static_assert(offsetof(OrtCustomOp, KernelDestroy) == 9 * sizeof(void*), "place in the interface");
static_assert(offsetof(OrtCustomOp, CreateKernelV2) == 17 * sizeof(void*), "place in the interface");
static_assert(offsetof(OrtCustomOp, GetEndVersion) == 21 * sizeof(void*), "place in the interface");

// Values of the interface's enumerations.
constexpr int kCodeFail = 1;
constexpr int kCodeInvalidArgument = 2;
constexpr int kRequired = 0;
constexpr int kDefaultMemory = 0;
constexpr int kIntAttribute = 1;
constexpr int kIntsAttribute = 2;

}  // namespace snnquant
