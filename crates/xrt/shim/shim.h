/* The C interface of shim.cc, from which src/bindings.rs is made.
 *
 * Every object is a pointer that its _new function returned and that goes to its _free function
 * exactly once. A function that can fail takes a tw_error, which it fills in: kind is TW_OK or says
 * what was thrown. Nothing is ever thrown into the caller. */
#ifndef TILEWRIGHT_XRT_SHIM_H
#define TILEWRIGHT_XRT_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was thrown. */
#define TW_OK 0
/* A std::system_error, whose value is in code. */
#define TW_SYSTEM 1
/* A std::bad_alloc. */
#define TW_MEMORY 2
/* Any other exception. */
#define TW_OTHER 3

struct tw_error {
    int32_t kind;
    int32_t code;
    /* What it says, cut to fit, ended by a zero byte. */
    char text[1024];
};

/* What to ask of a device. */
#define TW_NAME 0
#define TW_BDF 1
/* A JSON object. */
#define TW_PLATFORM 2

typedef struct tw_device tw_device;
typedef struct tw_context tw_context;
typedef struct tw_kernel tw_kernel;
typedef struct tw_bo tw_bo;
typedef struct tw_run tw_run;
typedef struct tw_runlist tw_runlist;

tw_device *tw_device_new(uint32_t index, struct tw_error *error);
void tw_device_free(tw_device *device);
/* Copies a text of at most capacity bytes with its zero byte, and returns its whole length. */
size_t tw_device_info(const tw_device *device, int32_t what, char *text, size_t capacity,
                      struct tw_error *error);

/* Registers an xclbin and opens a context for it. */
tw_context *tw_context_new(tw_device *device, const char *xclbin, size_t bytes,
                           struct tw_error *error);
void tw_context_free(tw_context *context);
/* Names of the kernels of the xclbin, one a line; see tw_device_info for the rest. */
size_t tw_context_kernels(const tw_context *context, char *text, size_t capacity,
                          struct tw_error *error);

tw_kernel *tw_kernel_new(const tw_context *context, const char *name, struct tw_error *error);
void tw_kernel_free(tw_kernel *kernel);

/* A buffer for an argument of a kernel, for instructions or for data of the host. It belongs to the
 * device, as with MLIR-AIE's own hosts, and keeps no context. */
tw_bo *tw_bo_new(const tw_device *device, const tw_kernel *kernel, int32_t argument, size_t bytes,
                 int32_t instructions, struct tw_error *error);
void tw_bo_free(tw_bo *bo);
/* Where it lies in this process. Stays there until it is freed. */
void *tw_bo_map(tw_bo *bo, struct tw_error *error);
uint64_t tw_bo_address(const tw_bo *bo, struct tw_error *error);
void tw_bo_sync(tw_bo *bo, int32_t to_device, size_t bytes, struct tw_error *error);

tw_run *tw_run_new(const tw_kernel *kernel, struct tw_error *error);
/* XRT ends the process when the run is still going on. */
void tw_run_free(tw_run *run);
void tw_run_set_u64(tw_run *run, int32_t argument, uint64_t value, struct tw_error *error);
void tw_run_set_u32(tw_run *run, int32_t argument, uint32_t value, struct tw_error *error);
void tw_run_set_bo(tw_run *run, int32_t argument, const tw_bo *bo, struct tw_error *error);
void tw_run_start(tw_run *run, struct tw_error *error);
/* Waits so many milliseconds, at least one, and returns the state, an ert_cmd_state. That is "timed
 * out" too when the time is up here; tw_run_state tells whether it is so on the device. */
int32_t tw_run_wait(const tw_run *run, uint32_t milliseconds, struct tw_error *error);
int32_t tw_run_state(const tw_run *run, struct tw_error *error);

tw_runlist *tw_runlist_new(const tw_context *context, struct tw_error *error);
void tw_runlist_free(tw_runlist *list);
void tw_runlist_add(tw_runlist *list, const tw_run *run, struct tw_error *error);
void tw_runlist_execute(tw_runlist *list, struct tw_error *error);
/* Waits so many milliseconds, at least one: 1 when all runs were completed, 0 when the time is up,
 * an error when a run failed. */
int32_t tw_runlist_wait(const tw_runlist *list, uint32_t milliseconds, struct tw_error *error);

#ifdef __cplusplus
}
#endif

#endif
