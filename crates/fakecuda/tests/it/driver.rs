//! Initialization, contexts, memory, failing calls, the report.

use std::ptr::null_mut;

use cudarc::driver::CudaContext;
use cudarc::driver::sys as cuda;
use cudarc::driver::sys::CUresult as E;

use crate::support::{Gpu, allocate, context, in_child, stream};

#[test]
fn nothing_works_before_its_time() {
    let Some(outcome) = in_child(&[], || unsafe {
        let (mut count, mut pointer, mut context) = (0, 0, null_mut());
        assert_eq!(cuda::cuDeviceGetCount(&mut count), E::CUDA_ERROR_NOT_INITIALIZED);
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, 8), E::CUDA_ERROR_NOT_INITIALIZED);
        assert_eq!(cuda::cuInit(0), E::CUDA_SUCCESS);
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, 8), E::CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(cuda::cuDevicePrimaryCtxRetain(&mut context, 1), E::CUDA_ERROR_INVALID_DEVICE);
        assert_eq!(cuda::cuDevicePrimaryCtxRetain(&mut context, 0), E::CUDA_SUCCESS);
        assert_eq!(cuda::cuCtxSetCurrent(context), E::CUDA_SUCCESS);
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, 8), E::CUDA_SUCCESS);
        // Contexts are current on one thread.
        let other = std::thread::spawn(|| cuda::cuMemAlloc_v2(&mut 0, 8)).join().unwrap();
        assert_eq!(other, E::CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(cuda::cuDevicePrimaryCtxRelease_v2(0), E::CUDA_SUCCESS);
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, 8), E::CUDA_ERROR_CONTEXT_IS_DESTROYED);
    }) else {
        return;
    };
    let report = outcome.expect_pass();
    assert_eq!(report["leaks"]["device_allocations"], 1);
    assert_eq!(report["leaks"]["contexts_retained"], 0);
}

#[test]
fn devices_are_as_many_as_asked_for() {
    if let Some(outcome) = in_child(&[("FAKECUDA_DEVICES", "0")], || unsafe {
        assert_eq!(cuda::cuInit(0), E::CUDA_ERROR_NO_DEVICE);
    }) {
        outcome.expect_pass();
    }
    if let Some(outcome) = in_child(&[("FAKECUDA_DEVICES", "3")], || unsafe {
        let mut count = 0;
        cuda::cuInit(0).result().unwrap();
        cuda::cuDeviceGetCount(&mut count).result().unwrap();
        assert_eq!(count, 3);
        let (first, last) = (CudaContext::new(0).unwrap(), CudaContext::new(2).unwrap());
        assert_eq!(last.compute_capability().unwrap(), (9, 0));
        first.bind_to_thread().unwrap();
        let pointer = allocate(100);
        last.bind_to_thread().unwrap();
        let on_last = stream();
        // Memory and streams belong to a device.
        assert_eq!(cuda::cuMemsetD8Async(pointer, 0, 100, on_last), E::CUDA_ERROR_INVALID_VALUE);
        first.bind_to_thread().unwrap();
        assert_eq!(cuda::cuMemsetD8Async(pointer, 0, 100, on_last), E::CUDA_ERROR_INVALID_HANDLE);
    }) {
        assert_eq!(outcome.expect_pass()["peak_bytes"], serde_json::json!([256, 0, 0]));
    }
}

#[test]
fn the_safe_wrapper_works_and_leaves_nothing_behind() {
    for schedule in ["eager", "lazy", "random:7"] {
        let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", schedule)], || {
            let context = CudaContext::new(0).unwrap();
            assert_eq!(context.name().unwrap(), "Emulated CUDA device 0");
            let (one, two) = (context.new_stream().unwrap(), context.new_stream().unwrap());
            let sent = one.clone_htod(&[1.0_f64, 2.0, 3.0]).unwrap();
            let mut copy = two.alloc_zeros::<f64>(3).unwrap();
            two.memcpy_dtod(&sent, &mut copy).unwrap();
            assert_eq!(two.clone_dtoh(&copy).unwrap(), [1.0, 2.0, 3.0]);
        }) else {
            continue;
        };
        let report = outcome.expect_pass();
        assert!(report["leaks"].as_object().unwrap().values().all(|number| *number == 0), "{schedule}: {report}");
        assert_eq!(report["pending"], 0);
        assert_eq!(report["failed"], serde_json::Value::Null);
        let by_function = report["by_function"].as_object().unwrap();
        assert_eq!(by_function.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), report["calls"].as_u64().unwrap());
    }
}

#[test]
fn memory_is_limited_aligned_and_poisoned() {
    // Enough for handles, and a little more.
    const TOTAL: usize = 20_000 * 256;
    let Some(outcome) = in_child(&[("FAKECUDA_MEMORY", &TOTAL.to_string())], || unsafe {
        let gpu = Gpu::new();
        let (mut free, mut total, mut pointer) = (0, 0, 0);
        let first = allocate(1001);
        assert_eq!(first % 256, 0);
        assert!(gpu.download::<f64>(first, 125).iter().all(|x| x.is_nan()));
        cuda::cuMemGetInfo_v2(&mut free, &mut total).result().unwrap();
        assert_eq!((free, total), (TOTAL - 1024, TOTAL));
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, TOTAL - 1000), E::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, 0), E::CUDA_ERROR_INVALID_VALUE);
        let second = allocate(TOTAL - 2048);
        let mut handle = null_mut();
        let refused = cudarc::cublas::sys::cublasCreate_v2(&mut handle);
        assert_eq!(refused, cudarc::cublas::sys::cublasStatus_t::CUBLAS_STATUS_NOT_INITIALIZED);
        for (start, bytes) in [(first, 1002), (first + 1001, 1), (first - 1, 2), (second + 1, TOTAL - 2048), (12345, 4)]
        {
            assert_eq!(cuda::cuMemsetD8Async(start, 0, bytes, gpu.stream), E::CUDA_ERROR_INVALID_VALUE);
        }
        assert_eq!(cuda::cuMemFree_v2(first + 256), E::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(cuda::cuMemFree_v2(first), E::CUDA_SUCCESS);
        assert_eq!(cuda::cuMemFree_v2(first), E::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(cuda::cuMemsetD8Async(first, 0, 8, gpu.stream), E::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(cuda::cuMemsetD8Async(second, 0, 8, null_mut()), E::CUDA_ERROR_NOT_SUPPORTED);
    }) else {
        return;
    };
    let report = outcome.expect_pass();
    assert_eq!(report["peak_bytes"][0], TOTAL - 1024);
    assert_eq!(report["leaks"]["device_allocations"], 1);
}

#[test]
fn damage_beside_an_allocation_is_found() {
    for (name, offset, message) in [
        ("behind", 1001, "something wrote 1 bytes past the end of an allocation of 1001 bytes"),
        ("before", -1, "something wrote 1 bytes before an allocation of 1001 bytes"),
    ] {
        let Some(outcome) = in_child(&[("SIDE", name)], || unsafe {
            context();
            let pointer = allocate(1001);
            (pointer as *mut u8).offset(offset).write(7);
            cuda::cuMemFree_v2(pointer);
        }) else {
            continue;
        };
        outcome.expect_death(message);
    }
    // An allocation of whole pages has no canaries: the write itself faults, like a write after the memory was freed.
    for freed in ["no", "yes"] {
        let Some(outcome) = in_child(&[("FREED", freed)], || unsafe {
            context();
            let pointer = allocate(4096);
            if freed == "yes" {
                cuda::cuMemFree_v2(pointer).result().unwrap();
            }
            (pointer as *mut u8).add(if freed == "yes" { 0 } else { 4096 }).write_volatile(7);
        }) else {
            continue;
        };
        assert!(!outcome.passed());
    }
}

#[test]
fn rectangles_are_copied() {
    let Some(outcome) = in_child(&[], || unsafe {
        let gpu = Gpu::new();
        let source = gpu.upload(&(0..20).collect::<Vec<u8>>());
        let target = gpu.upload(&[0_u8; 12]);
        let mut copy = cuda::CUDA_MEMCPY2D_st {
            srcXInBytes: 1,
            srcY: 1,
            srcMemoryType: cuda::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: null_mut(),
            srcDevice: source,
            srcArray: null_mut(),
            srcPitch: 5,
            dstXInBytes: 2,
            dstY: 0,
            dstMemoryType: cuda::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: null_mut(),
            dstDevice: target,
            dstArray: null_mut(),
            dstPitch: 4,
            WidthInBytes: 2,
            Height: 3,
        };
        cuda::cuMemcpy2DAsync_v2(&copy, gpu.stream).result().unwrap();
        assert_eq!(gpu.download::<u8>(target, 12), [0, 0, 6, 7, 0, 0, 11, 12, 0, 0, 16, 17]);
        copy.Height = 4;
        assert_eq!(cuda::cuMemcpy2DAsync_v2(&copy, gpu.stream), E::CUDA_ERROR_INVALID_VALUE);
        copy.srcMemoryType = cuda::CUmemorytype::CU_MEMORYTYPE_HOST;
        assert_eq!(cuda::cuMemcpy2DAsync_v2(&copy, gpu.stream), E::CUDA_ERROR_NOT_SUPPORTED);
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn the_nth_call_fails() {
    // cuInit, retain, set current, stream create, allocation.
    let Some(outcome) = in_child(&[("FAKECUDA_FAIL", "5")], || unsafe {
        context();
        stream();
        let mut pointer = 0;
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, 8), E::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(cuda::cuMemAlloc_v2(&mut pointer, 8), E::CUDA_SUCCESS);
    }) else {
        return;
    };
    let report = outcome.expect_pass();
    assert_eq!(report["failed"], "cuMemAlloc_v2");
    assert_eq!(report["calls"], 6);
    assert_eq!(report["leaks"]["device_allocations"], 1);
    assert_eq!(report["leaks"]["streams"], 1);
}

#[test]
fn what_gives_something_back_does_so_even_when_it_fails() {
    let Some(outcome) = in_child(&[("FAKECUDA_FAIL", "6")], || unsafe {
        context();
        stream();
        assert_eq!(cuda::cuMemFree_v2(allocate(8)), E::CUDA_ERROR_UNKNOWN);
    }) else {
        return;
    };
    let report = outcome.expect_pass();
    assert_eq!(report["failed"], "cuMemFree_v2");
    assert_eq!(report["leaks"]["device_allocations"], 0);
}

#[test]
fn errors_have_names() {
    let Some(outcome) = in_child(&[], || {
        let error = cudarc::driver::DriverError(E::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(error.error_name().unwrap(), c"CUDA_ERROR_OUT_OF_MEMORY");
        assert_eq!(error.error_string().unwrap(), c"out of memory");
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn threads_may_call_at_once() {
    for schedule in ["eager", "lazy", "random:5"] {
        let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", schedule)], || {
            let context = CudaContext::new(0).unwrap();
            std::thread::scope(|scope| {
                for thread in 0..4_u64 {
                    let context = context.clone();
                    scope.spawn(move || {
                        let stream = context.new_stream().unwrap();
                        for round in 0..50 {
                            let source = [thread, round];
                            let sent = stream.clone_htod(&source).unwrap();
                            let mut copy = stream.alloc_zeros::<u64>(2).unwrap();
                            stream.memcpy_dtod(&sent, &mut copy).unwrap();
                            assert_eq!(stream.clone_dtoh(&copy).unwrap(), source);
                        }
                    });
                }
            });
        }) else {
            continue;
        };
        let report = outcome.expect_pass();
        assert!(report["leaks"].as_object().unwrap().values().all(|number| *number == 0), "{schedule}: {report}");
        assert_eq!(report["by_function"]["cuMemAlloc_v2"], 400);
    }
}
