//! Streams and events under each schedule: what runs when, and which mistakes are found.

use std::ptr::null_mut;

use cudarc::driver::sys as cuda;
use cudarc::driver::sys::CUresult as E;

use crate::support::{Gpu, allocate, in_child, stream};

/// Pinned memory for one number.
fn pinned(value: u64) -> *mut u64 {
    let mut pointer = null_mut();
    // SAFETY: the allocation has room for the number.
    unsafe {
        cuda::cuMemHostAlloc(&mut pointer, 8, 0).result().unwrap();
        pointer.cast::<u64>().write(value);
    }
    pointer.cast()
}

fn event() -> cuda::CUevent {
    let mut event = null_mut();
    // SAFETY: a context is current.
    unsafe { cuda::cuEventCreate(&mut event, 0).result().unwrap() };
    event
}

#[test]
fn a_forgotten_wait_shows() {
    for (schedule, expected) in [("eager", 42), ("lazy", 1)] {
        let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", schedule)], || unsafe {
            let gpu = Gpu::new();
            let (device, host) = (gpu.upload(&[42_u64]), pinned(1));
            cuda::cuMemcpyDtoHAsync_v2(host.cast(), device, 8, gpu.stream).result().unwrap();
            assert_eq!(host.read(), expected);
            gpu.synchronize();
            assert_eq!(host.read(), 42);
        }) else {
            continue;
        };
        outcome.expect_pass();
    }
}

#[test]
fn a_source_is_read_when_the_copy_runs() {
    let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", "lazy")], || unsafe {
        let gpu = Gpu::new();
        let (a, b, host, mut plain) = (allocate(8), allocate(8), pinned(1), 1_u64);
        cuda::cuMemcpyHtoDAsync_v2(a, host.cast(), 8, gpu.stream).result().unwrap();
        cuda::cuMemcpyHtoDAsync_v2(b, (&raw const plain).cast(), 8, gpu.stream).result().unwrap();
        host.write(2);
        (&raw mut plain).write_volatile(2);
        assert_eq!(gpu.download::<u64>(a, 1), [2]);
        assert_eq!(gpu.download::<u64>(b, 1), [2]);
        // A range that extends past the pinned allocation, and the address of a device for that of a host.
        assert_eq!(
            cuda::cuMemcpyHtoDAsync_v2(a, host.add(1).cast_const().cast::<u8>().sub(4).cast(), 8, gpu.stream),
            E::CUDA_ERROR_INVALID_VALUE
        );
        assert_eq!(cuda::cuMemcpyHtoDAsync_v2(a, b as *const _, 8, gpu.stream), E::CUDA_ERROR_INVALID_VALUE);
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn streams_order_themselves_by_events_only() {
    let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", "lazy")], || unsafe {
        let gpu = Gpu::new();
        let other = stream();
        let (device, host) = (allocate(8), pinned(7));
        let recorded = event();
        // Not recorded yet: complete, and nothing to wait for.
        assert_eq!(cuda::cuEventQuery(recorded), E::CUDA_SUCCESS);
        cuda::cuStreamWaitEvent(other, recorded, 0).result().unwrap();
        cuda::cuMemcpyHtoDAsync_v2(device, host.cast(), 8, gpu.stream).result().unwrap();
        cuda::cuEventRecord(recorded, gpu.stream).result().unwrap();
        assert_eq!(cuda::cuEventQuery(recorded), E::CUDA_ERROR_NOT_READY);
        // Without the wait the second stream overtakes the first.
        let copy = allocate(8);
        cuda::cuMemcpyDtoDAsync_v2(copy, device, 8, other).result().unwrap();
        cuda::cuStreamSynchronize(other).result().unwrap();
        let result = pinned(0);
        cuda::cuMemcpyDtoHAsync_v2(result.cast(), copy, 8, other).result().unwrap();
        cuda::cuStreamSynchronize(other).result().unwrap();
        assert_eq!(result.read(), u64::MAX);
        cuda::cuStreamWaitEvent(other, recorded, 0).result().unwrap();
        cuda::cuMemcpyDtoDAsync_v2(copy, device, 8, other).result().unwrap();
        cuda::cuMemcpyDtoHAsync_v2(result.cast(), copy, 8, other).result().unwrap();
        cuda::cuStreamSynchronize(other).result().unwrap();
        assert_eq!(result.read(), 7);
        assert_eq!(cuda::cuEventQuery(recorded), E::CUDA_SUCCESS);
    }) else {
        return;
    };
    assert_eq!(outcome.expect_pass()["max_concurrent_streams"], 2);
}

#[test]
fn an_event_completes_what_was_before_it_and_no_more() {
    let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", "lazy")], || unsafe {
        let gpu = Gpu::new();
        let device = gpu.upload(&[5_u64]);
        let (before, after) = (pinned(0), pinned(0));
        let (start, end) = (event(), event());
        cuda::cuEventRecord(start, gpu.stream).result().unwrap();
        cuda::cuMemcpyDtoHAsync_v2(before.cast(), device, 8, gpu.stream).result().unwrap();
        cuda::cuEventRecord(end, gpu.stream).result().unwrap();
        cuda::cuMemcpyDtoHAsync_v2(after.cast(), device, 8, gpu.stream).result().unwrap();
        let mut milliseconds = 0.0;
        assert_eq!(cuda::cuEventElapsedTime_v2(&mut milliseconds, start, end), E::CUDA_ERROR_NOT_READY);
        cuda::cuEventSynchronize(end).result().unwrap();
        assert_eq!((before.read(), after.read()), (5, 0));
        cuda::cuEventElapsedTime_v2(&mut milliseconds, start, end).result().unwrap();
        assert!(milliseconds > 0.0);
        cuda::cuEventDestroy_v2(end).result().unwrap();
        assert_eq!(cuda::cuEventSynchronize(end), E::CUDA_ERROR_INVALID_HANDLE);
        // A stream that is destroyed finishes first.
        cuda::cuStreamDestroy_v2(gpu.stream).result().unwrap();
        assert_eq!(after.read(), 5);
        assert_eq!(cuda::cuStreamSynchronize(gpu.stream), E::CUDA_ERROR_INVALID_HANDLE);
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn polling_an_event_comes_to_an_end() {
    let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", "lazy")], || unsafe {
        let gpu = Gpu::new();
        let recorded = event();
        cuda::cuMemsetD8Async(allocate(8), 0, 8, gpu.stream).result().unwrap();
        cuda::cuEventRecord(recorded, gpu.stream).result().unwrap();
        while cuda::cuEventQuery(recorded) == E::CUDA_ERROR_NOT_READY {}
        assert_eq!(cuda::cuEventQuery(recorded), E::CUDA_SUCCESS);
    }) else {
        return;
    };
    assert_eq!(outcome.expect_pass()["by_function"]["cuEventQuery"], 102);
}

#[test]
fn what_never_ran_is_reported() {
    let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", "lazy")], || unsafe {
        let gpu = Gpu::new();
        let device = allocate(8);
        cuda::cuMemsetD8Async(device, 0, 8, gpu.stream).result().unwrap();
    }) else {
        return;
    };
    assert_eq!(outcome.expect_pass()["pending"], 1);
}

#[test]
fn random_schedules_keep_the_order_that_events_demand() {
    for seed in 0..8 {
        let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", &format!("random:{seed}"))], || unsafe {
            let gpu = Gpu::new();
            let streams = [gpu.stream, stream(), stream()];
            let device = allocate(8);
            let hosts: Vec<_> = (0..30).map(pinned).collect();
            // Each stream overwrites the number when the one before it has.
            for (index, host) in hosts.iter().enumerate() {
                let this = streams[index % 3];
                cuda::cuMemcpyHtoDAsync_v2(device, host.cast(), 8, this).result().unwrap();
                let recorded = event();
                cuda::cuEventRecord(recorded, this).result().unwrap();
                cuda::cuStreamWaitEvent(streams[(index + 1) % 3], recorded, 0).result().unwrap();
                cuda::cuEventDestroy_v2(recorded).result().unwrap();
            }
            assert_eq!(gpu.download::<u64>(device, 1), [29]);
        }) else {
            continue;
        };
        assert!(outcome.expect_pass()["max_concurrent_streams"].as_u64().unwrap() > 1);
    }
}
