declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
declare <16 x float> @llvm.sqrt.v16f32(<16 x float>)
declare <16 x float> @llvm.masked.gather.v16f32.v16p0(<16 x ptr>, i32, <16 x i1>, <16 x float>)
declare <16 x i32> @llvm.masked.gather.v16i32.v16p0(<16 x ptr>, i32, <16 x i1>, <16 x i32>)
declare <16 x i8> @llvm.masked.gather.v16i8.v16p0(<16 x ptr>, i32, <16 x i1>, <16 x i8>)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

define internal void @body(ptr noalias %b0, ptr noalias %b1, ptr noalias %b2, ptr noalias %b3, ptr noalias %b4, ptr noalias %b5) #0 {
entry:
  br label %head0
head0:
  %L0 = phi i64 [ 0, %entry ], [ %L0.next, %exit1 ]
  %r0.0 = phi <16 x float> [ splat (float 0x0000000000000000), %entry ], [ %v4, %exit1 ]
  br label %head1
head1:
  %L1 = phi i64 [ 0, %head0 ], [ %L1.next, %head1 ]
  %r0.1 = phi <16 x float> [ %r0.0, %head0 ], [ %v4, %head1 ]
  %t1 = mul nsw i64 %L0, 4
  %t2 = mul nsw i64 %L1, 1
  %t3 = add nsw i64 %t1, %t2
  %p4 = getelementptr inbounds float, ptr %b2, i64 %t3
  %t5 = mul nsw i64 %L0, 96
  %t6 = mul nsw i64 %L1, 16
  %t7 = add nsw i64 %t5, %t6
  %p8 = getelementptr inbounds float, ptr %b0, i64 %t7
  %t9 = mul nsw i64 %L0, 64
  %t10 = mul nsw i64 %L1, 16
  %t11 = add nsw i64 %t9, %t10
  %p12 = getelementptr inbounds float, ptr %b1, i64 %t11
  %v1.s = load float, ptr %p4, align 4
  %v1.i = insertelement <16 x float> poison, float %v1.s, i64 0
  %v1 = shufflevector <16 x float> %v1.i, <16 x float> poison, <16 x i32> zeroinitializer
  %v2 = load <16 x float>, ptr %p8, align 64
  %v4 = call <16 x float> @llvm.fma.v16f32(<16 x float> %v1, <16 x float> %v2, <16 x float> %r0.1)
  store <16 x float> %v4, ptr %p12, align 64
  %L1.next = add nuw nsw i64 %L1, 1
  %L1.done = icmp eq i64 %L1.next, 4
  br i1 %L1.done, label %exit1, label %head1
exit1:
  %L0.next = add nuw nsw i64 %L0, 1
  %L0.done = icmp eq i64 %L0.next, 3
  br i1 %L0.done, label %exit0, label %head0
exit0:
  %v7 = load <16 x i32>, ptr %b3, align 4
  %v8 = fadd <16 x float> %v4, %v4
  %v9 = fsub <16 x float> %v4, %v4
  %v10 = fmul <16 x float> %v4, %v4
  %v11 = fdiv <16 x float> %v4, %v4
  %v12 = call <16 x float> @llvm.fma.v16f32(<16 x float> %v4, <16 x float> %v4, <16 x float> %v4)
  %v13 = call <16 x float> @llvm.sqrt.v16f32(<16 x float> %v4)
  %v14.m = fcmp ogt <16 x float> %v4, %v4
  %v14 = select <16 x i1> %v14.m, <16 x float> %v4, <16 x float> %v4
  %v15.m = fcmp olt <16 x float> %v4, %v4
  %v15 = select <16 x i1> %v15.m, <16 x float> %v4, <16 x float> %v4
  %v16.m = fcmp ogt <16 x float> %v4, %v4
  %v16 = select <16 x i1> %v16.m, <16 x float> %v4, <16 x float> %v4
  %v17.m = fcmp oeq <16 x float> %v4, %v4
  %v17 = select <16 x i1> %v17.m, <16 x float> %v4, <16 x float> %v4
  %v18 = add <16 x i32> %v7, %v7
  %v19 = sub <16 x i32> %v7, %v7
  %v20 = mul <16 x i32> %v7, %v7
  %v21 = and <16 x i32> %v7, %v7
  %v22 = xor <16 x i32> %v7, %v7
  %v23 = shl <16 x i32> %v7, %v7
  %v24 = lshr <16 x i32> %v7, %v7
  %v25.m = icmp ult <16 x i32> %v7, %v7
  %v25 = select <16 x i1> %v25.m, <16 x float> %v4, <16 x float> %v4
  %v26 = sitofp <16 x i32> %v7 to <16 x float>
  %v27 = fptosi <16 x float> %v4 to <16 x i32>
  %v28 = bitcast <16 x float> %v4 to <16 x i32>
  %v29 = bitcast <16 x i32> %v7 to <16 x float>
  %v30.a = zext <16 x i32> %v7 to <16 x i64>
  %v30.b = zext <16 x i32> %v7 to <16 x i64>
  %v30.p = mul <16 x i64> %v30.a, %v30.b
  %v30.s = lshr <16 x i64> %v30.p, splat (i64 32)
  %v30 = trunc <16 x i64> %v30.s to <16 x i32>
  %v32.a = sext <16 x i32> %v7 to <16 x i64>
  %v32.b = mul <16 x i64> %v32.a, splat (i64 9)
  %v32.c = sext <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15> to <16 x i64>
  %v32.d = add <16 x i64> %v32.b, %v32.c
  %v32.p = getelementptr i8, ptr %b4, <16 x i64> %v32.d
  %v32.g = call <16 x i8> @llvm.masked.gather.v16i8.v16p0(<16 x ptr> %v32.p, i32 1, <16 x i1> <i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true>, <16 x i8> poison)
  %v32 = zext <16 x i8> %v32.g to <16 x i32>
  %p13 = getelementptr inbounds i32, ptr %b3, i64 16
  store <16 x i32> %v32, ptr %p13, align 4
  %v33.a = sext <16 x i32> %v7 to <16 x i64>
  %v33.b = mul <16 x i64> %v33.a, splat (i64 3)
  %v33.c = sext <16 x i32> %v7 to <16 x i64>
  %v33.d = add <16 x i64> %v33.b, %v33.c
  %v33.p = getelementptr float, ptr %b5, <16 x i64> %v33.d
  %v33 = call <16 x float> @llvm.masked.gather.v16f32.v16p0(<16 x ptr> %v33.p, i32 4, <16 x i1> <i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true>, <16 x float> poison)
  %p14 = getelementptr inbounds float, ptr %b0, i64 19
  %v34.s = load float, ptr %p14, align 4
  %v34.i = insertelement <16 x float> poison, float %v34.s, i64 0
  %v34 = shufflevector <16 x float> %v34.i, <16 x float> poison, <16 x i32> zeroinitializer
  %v35 = fadd <16 x float> %v33, %v34
  store <16 x float> %v35, ptr %b1, align 64
  %p15 = getelementptr inbounds float, ptr %b2, i64 24
  %v36 = load <16 x float>, ptr %p15, align 4
  %v37 = shufflevector <16 x float> %v4, <16 x float> %v36, <16 x i32> <i32 31, i32 30, i32 29, i32 28, i32 27, i32 26, i32 25, i32 24, i32 23, i32 22, i32 21, i32 20, i32 19, i32 18, i32 17, i32 16>
  %p16 = getelementptr inbounds float, ptr %b1, i64 16
  store <16 x float> %v37, ptr %p16, align 64
  %v39 = fmul <16 x float> %v4, splat (float 0x3FB99999A0000000)
  %p17 = getelementptr inbounds float, ptr %b2, i64 39
  %s18 = extractelement <16 x float> %v39, i64 0
  store float %s18, ptr %p17, align 4
  %p19 = getelementptr inbounds float, ptr %b1, i64 128
  store <16 x float> %v4, ptr %p19, align 64
  %p20 = getelementptr float, ptr %p19, i64 16
  call void @llvm.prefetch.p0(ptr %p20, i32 1, i32 3, i32 1)
  ret void
}
define void @kernel(ptr %buffers) #0 {
entry:
  %a0 = getelementptr ptr, ptr %buffers, i64 0
  %b0 = load ptr, ptr %a0, align 8
  %a1 = getelementptr ptr, ptr %buffers, i64 1
  %b1 = load ptr, ptr %a1, align 8
  %a2 = getelementptr ptr, ptr %buffers, i64 2
  %b2 = load ptr, ptr %a2, align 8
  %a3 = getelementptr ptr, ptr %buffers, i64 3
  %b3 = load ptr, ptr %a3, align 8
  %a4 = getelementptr ptr, ptr %buffers, i64 4
  %b4 = load ptr, ptr %a4, align 8
  %a5 = getelementptr ptr, ptr %buffers, i64 5
  %b5 = load ptr, ptr %a5, align 8
  tail call void @body(ptr %b0, ptr %b1, ptr %b2, ptr %b3, ptr %b4, ptr %b5)
  ret void
}
attributes #0 = { nounwind alignstack=64 "target-cpu"="haswell" "target-features"="+avx2,+fma,-avx512f,-avx512bw,-avx512cd,-avx512dq,-avx512vl,-avx512fp16,-avx512bf16,-avx512bitalg,-avx512ifma,-avx512vbmi,-avx512vbmi2,-avx512vnni,-avx512vpopcntdq" "min-legal-vector-width"="512" "prefer-vector-width"="256" }
