//! NVRTC's images, modules, and launches.

use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::ptr::null_mut;

use cudarc::driver::sys as cuda;
use cudarc::driver::sys::CUresult as E;
use cudarc::nvrtc::sys as nvrtc;
use cudarc::nvrtc::sys::nvrtcResult as N;

use crate::support::{Gpu, allocate, in_child};

fn kernel_source(name: &str) -> CString {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels").join(name);
    CString::new(std::fs::read(path).unwrap()).unwrap()
}

/// The image and the log.
fn compile(source: &CStr, with_headers: bool, options: &[&CStr]) -> Result<CString, (N, String)> {
    let names = [c"common.cuh", c"weights.cuh"];
    let texts = names.map(|name| kernel_source(name.to_str().unwrap()));
    let (texts, names) = (texts.each_ref().map(|text| text.as_ptr()), names.map(CStr::as_ptr));
    let options: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
    unsafe {
        let (mut program, mut size) = (null_mut(), 0);
        let headers = if with_headers { 2 } else { 0 };
        nvrtc::nvrtcCreateProgram(
            &mut program,
            source.as_ptr(),
            c"test.cu".as_ptr(),
            headers,
            texts.as_ptr(),
            names.as_ptr(),
        )
        .result()
        .unwrap();
        let status = nvrtc::nvrtcCompileProgram(program, options.len() as i32, options.as_ptr());
        nvrtc::nvrtcGetProgramLogSize(program, &mut size).result().unwrap();
        let mut log = vec![0_u8; size];
        nvrtc::nvrtcGetProgramLog(program, log.as_mut_ptr().cast()).result().unwrap();
        if status != N::NVRTC_SUCCESS {
            assert_eq!(nvrtc::nvrtcGetCUBINSize(program, &mut size), N::NVRTC_ERROR_INVALID_PROGRAM);
            return Err((status, CString::from_vec_with_nul(log).unwrap().into_string().unwrap()));
        }
        nvrtc::nvrtcGetCUBINSize(program, &mut size).result().unwrap();
        let mut image = vec![0_u8; size];
        nvrtc::nvrtcGetCUBIN(program, image.as_mut_ptr().cast()).result().unwrap();
        nvrtc::nvrtcDestroyProgram(&mut program).result().unwrap();
        assert!(program.is_null());
        Ok(CString::from_vec_with_nul(image).unwrap())
    }
}

#[test]
fn options_and_includes_are_checked() {
    let Some(outcome) = in_child(&[], || unsafe {
        let source = kernel_source("widen.cu");
        assert!(compile(&source, true, &[c"--gpu-architecture=sm_90", c"--std=c++17", c"--fmad=false"]).is_ok());
        let (status, log) = compile(&source, true, &[c"--gpu-architecture=sm_91"]).unwrap_err();
        assert!(status == N::NVRTC_ERROR_INVALID_OPTION && log.contains("architecture"), "{log}");
        let (status, log) = compile(&source, true, &[c"--use_fast_math"]).unwrap_err();
        assert!(status == N::NVRTC_ERROR_INVALID_OPTION && log.contains("fast-math"), "{log}");
        let (status, log) = compile(&source, false, &[]).unwrap_err();
        assert!(status == N::NVRTC_ERROR_COMPILATION && log.contains("common.cuh"), "{log}");
        let mut count = 0;
        nvrtc::nvrtcGetNumSupportedArchs(&mut count).result().unwrap();
        let mut architectures = vec![0; count as usize];
        nvrtc::nvrtcGetSupportedArchs(architectures.as_mut_ptr()).result().unwrap();
        assert!(architectures.contains(&90));
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn kernels_run_when_the_stream_comes_to_them_with_the_arguments_of_the_launch() {
    for schedule in ["eager", "lazy", "random:3"] {
        let Some(outcome) = in_child(&[("FAKECUDA_SCHEDULE", schedule)], || unsafe {
            let gpu = Gpu::new();
            let image = compile(&kernel_source("sturm.cu"), true, &[c"--gpu-architecture=sm_90"]).unwrap();
            let (mut module, mut function, mut unknown) = (null_mut(), null_mut(), null_mut());
            cuda::cuModuleLoadData(&mut module, image.as_ptr().cast()).result().unwrap();
            cuda::cuModuleGetFunction(&mut function, module, c"sturm_bounds_f64".as_ptr()).result().unwrap();
            // The emulator has that kernel, but not this module.
            assert_eq!(
                cuda::cuModuleGetFunction(&mut unknown, module, c"fit_select".as_ptr()),
                E::CUDA_ERROR_NOT_FOUND
            );
            assert_eq!(
                cuda::cuModuleGetFunction(&mut unknown, module, c"sturm_bound".as_ptr()),
                E::CUDA_ERROR_NOT_FOUND
            );
            let mut diagonal = gpu.upload(&[2.0_f64, 2.0, 2.0]);
            let mut beside = gpu.upload(&[-1.0_f64, -1.0, 0.0]);
            let mut offsets = gpu.upload(&[0_u64, 3]);
            let mut intervals = allocate(24);
            let mut arguments: [*mut c_void; 4] = [
                (&raw mut diagonal).cast(),
                (&raw mut beside).cast(),
                (&raw mut offsets).cast(),
                (&raw mut intervals).cast(),
            ];
            let mut launch = |threads, shared| {
                let arguments = arguments.as_mut_ptr();
                cuda::cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, shared, gpu.stream, arguments, null_mut())
            };
            assert_eq!(launch(2048, 0), E::CUDA_ERROR_INVALID_VALUE);
            assert_eq!(launch(32, 1 << 20), E::CUDA_ERROR_INVALID_VALUE);
            assert_eq!(launch(32, 32 * 24), E::CUDA_SUCCESS);
            let result = intervals;
            // The launch has copied them.
            arguments.fill(null_mut());
            (diagonal, beside, offsets, intervals) = (0, 0, 0, 0);
            std::hint::black_box((diagonal, beside, offsets, intervals));
            let bounds: Vec<f64> = gpu.download(result, 3);
            assert!((bounds[0] - 0.0).abs() < 1e-12 && (bounds[1] - 4.0).abs() < 1e-12, "{bounds:?}");
            cuda::cuModuleUnload(module).result().unwrap();
            assert_eq!(cuda::cuModuleUnload(module), E::CUDA_ERROR_INVALID_HANDLE);
            let null = null_mut();
            let launched =
                cuda::cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, gpu.stream, arguments.as_mut_ptr(), null);
            assert_eq!(launched, E::CUDA_ERROR_INVALID_HANDLE);
        }) else {
            continue;
        };
        let leaks = &outcome.expect_pass()["leaks"];
        assert_eq!((&leaks["modules"], &leaks["programs"]), (&0.into(), &0.into()));
    }
}

#[test]
fn names_that_macros_make_are_found() {
    let Some(outcome) = in_child(&[], || unsafe {
        Gpu::new();
        let image = compile(&kernel_source("widen.cu"), true, &[c"--gpu-architecture=sm_90"]).unwrap();
        let (mut module, mut function) = (null_mut(), null_mut());
        cuda::cuModuleLoadData(&mut module, image.as_ptr().cast()).result().unwrap();
        cuda::cuModuleGetFunction(&mut function, module, c"widen_bf16_f32".as_ptr()).result().unwrap();
    }) else {
        return;
    };
    outcome.expect_pass();
}

#[test]
fn other_images_are_refused() {
    let Some(outcome) = in_child(&[], || unsafe {
        Gpu::new();
        let older = compile(&kernel_source("widen.cu"), true, &[c"--gpu-architecture=sm_80"]).unwrap();
        let load = |image: &CStr| cuda::cuModuleLoadData(&mut null_mut(), image.as_ptr().cast());
        assert_eq!(load(&older), E::CUDA_ERROR_NO_BINARY_FOR_GPU);
        assert_eq!(load(c""), E::CUDA_ERROR_INVALID_IMAGE);
        assert_eq!(load(c".version 8.0"), E::CUDA_ERROR_INVALID_IMAGE);
    }) else {
        return;
    };
    outcome.expect_pass();
}
