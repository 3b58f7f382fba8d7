// C++ behind the C interface of shim.h: one call of XRT in each function, and whatever it throws
// caught. Compiles with the headers of XRT 2.18 to 2.25, and the same object runs with all of them.

#include "shim.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "xrt/experimental/xrt_kernel.h"
#include "xrt/experimental/xrt_xclbin.h"
#include "xrt/xrt_bo.h"
#include "xrt/xrt_device.h"
#include "xrt/xrt_hw_context.h"
#include "xrt/xrt_kernel.h"

struct tw_device {
    xrt::device device;
};

struct tw_context {
    xrt::xclbin xclbin;
    xrt::hw_context context;
};

struct tw_kernel {
    xrt::kernel kernel;
};

struct tw_bo {
    xrt::bo bo;
};

struct tw_run {
    xrt::run run;
};

struct tw_runlist {
    xrt::runlist list;
};

namespace {

void fail(tw_error *error, int32_t kind, int32_t code, const char *text) noexcept {
    error->kind = kind;
    error->code = code;
    std::strncpy(error->text, text, sizeof(error->text) - 1);
    error->text[sizeof(error->text) - 1] = '\0';
}

// Calls a function. What it throws goes into error, and the result is zero then.
template <typename F> auto guarded(tw_error *error, F function) noexcept -> decltype(function()) {
    error->kind = TW_OK;
    error->code = 0;
    error->text[0] = '\0';
    try {
        return function();
    } catch (const std::system_error &e) {
        fail(error, TW_SYSTEM, e.code().value(), e.what());
    } catch (const std::bad_alloc &e) {
        fail(error, TW_MEMORY, 0, e.what());
    } catch (const std::exception &e) {
        fail(error, TW_OTHER, 0, e.what());
    } catch (...) {
        fail(error, TW_OTHER, 0, "an exception without a text");
    }
    return decltype(function())();
}

size_t copy(const std::string &from, char *text, size_t capacity) noexcept {
    if (capacity > 0) {
        const size_t bytes = std::min(capacity - 1, from.size());
        std::memcpy(text, from.data(), bytes);
        text[bytes] = '\0';
    }
    return from.size();
}

} // namespace

extern "C" {

tw_device *tw_device_new(uint32_t index, tw_error *error) {
    return guarded(error, [&] { return new tw_device{xrt::device(index)}; });
}

void tw_device_free(tw_device *device) { delete device; }

size_t tw_device_info(const tw_device *device, int32_t what, char *text, size_t capacity,
                      tw_error *error) {
    return guarded(error, [&] {
        using info = xrt::info::device;
        const xrt::device &d = device->device;
        switch (what) {
        case TW_NAME: return copy(d.get_info<info::name>(), text, capacity);
        case TW_BDF: return copy(d.get_info<info::bdf>(), text, capacity);
        default: return copy(d.get_info<info::platform>(), text, capacity);
        }
    });
}

tw_context *tw_context_new(tw_device *device, const char *bytes, size_t size, tw_error *error) {
    return guarded(error, [&] {
        xrt::xclbin xclbin(std::vector<char>(bytes, bytes + size));
        const xrt::uuid uuid = device->device.register_xclbin(xclbin);
        xrt::hw_context context(device->device, uuid, xrt::hw_context::access_mode::shared);
        return new tw_context{std::move(xclbin), std::move(context)};
    });
}

void tw_context_free(tw_context *context) { delete context; }

size_t tw_context_kernels(const tw_context *context, char *text, size_t capacity, tw_error *error) {
    return guarded(error, [&] {
        std::string names;
        for (const auto &kernel : context->xclbin.get_kernels())
            names += kernel.get_name() + "\n";
        return copy(names, text, capacity);
    });
}

tw_kernel *tw_kernel_new(const tw_context *context, const char *name, tw_error *error) {
    return guarded(error, [&] { return new tw_kernel{xrt::kernel(context->context, name)}; });
}

void tw_kernel_free(tw_kernel *kernel) { delete kernel; }

tw_bo *tw_bo_new(const tw_device *device, const tw_kernel *kernel, int32_t argument, size_t bytes,
                 int32_t instructions, tw_error *error) {
    return guarded(error, [&] {
        const auto flags = instructions ? xrt::bo::flags::cacheable : xrt::bo::flags::host_only;
        const auto group = static_cast<xrt::memory_group>(kernel->kernel.group_id(argument));
        return new tw_bo{xrt::bo(device->device, bytes, flags, group)};
    });
}

void tw_bo_free(tw_bo *bo) { delete bo; }

void *tw_bo_map(tw_bo *bo, tw_error *error) {
    return guarded(error, [&] { return bo->bo.map<void *>(); });
}

uint64_t tw_bo_address(const tw_bo *bo, tw_error *error) {
    return guarded(error, [&] { return bo->bo.address(); });
}

void tw_bo_sync(tw_bo *bo, int32_t to_device, size_t bytes, tw_error *error) {
    const auto direction = to_device ? XCL_BO_SYNC_BO_TO_DEVICE : XCL_BO_SYNC_BO_FROM_DEVICE;
    guarded(error, [&] { bo->bo.sync(direction, bytes, 0); });
}

tw_run *tw_run_new(const tw_kernel *kernel, tw_error *error) {
    return guarded(error, [&] { return new tw_run{xrt::run(kernel->kernel)}; });
}

void tw_run_free(tw_run *run) { delete run; }

void tw_run_set_u64(tw_run *run, int32_t argument, uint64_t value, tw_error *error) {
    guarded(error, [&] { run->run.set_arg(argument, value); });
}

void tw_run_set_u32(tw_run *run, int32_t argument, uint32_t value, tw_error *error) {
    guarded(error, [&] { run->run.set_arg(argument, value); });
}

void tw_run_set_bo(tw_run *run, int32_t argument, const tw_bo *bo, tw_error *error) {
    guarded(error, [&] { run->run.set_arg(argument, bo->bo); });
}

void tw_run_start(tw_run *run, tw_error *error) {
    guarded(error, [&] { run->run.start(); });
}

int32_t tw_run_wait(const tw_run *run, uint32_t milliseconds, tw_error *error) {
    // Zero would be for ever.
    const auto time = std::chrono::milliseconds(std::max(milliseconds, 1u));
    return guarded(error, [&] { return static_cast<int32_t>(run->run.wait(time)); });
}

int32_t tw_run_state(const tw_run *run, tw_error *error) {
    return guarded(error, [&] { return static_cast<int32_t>(run->run.state()); });
}

tw_runlist *tw_runlist_new(const tw_context *context, tw_error *error) {
    return guarded(error, [&] { return new tw_runlist{xrt::runlist(context->context)}; });
}

void tw_runlist_free(tw_runlist *list) { delete list; }

void tw_runlist_add(tw_runlist *list, const tw_run *run, tw_error *error) {
    guarded(error, [&] { list->list.add(run->run); });
}

void tw_runlist_execute(tw_runlist *list, tw_error *error) {
    guarded(error, [&] { list->list.execute(); });
}

int32_t tw_runlist_wait(const tw_runlist *list, uint32_t milliseconds, tw_error *error) {
    const auto time = std::chrono::milliseconds(std::max(milliseconds, 1u));
    return guarded(error,
                   [&] { return int32_t{list->list.wait(time) == std::cv_status::no_timeout}; });
}

} // extern "C"
