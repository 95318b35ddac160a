
; What the driver needs of an x86 processor: its control word MXCSR, and a hint that a thread is only waiting.

declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
declare void @llvm.x86.sse2.pause()

define internal i64 @flush_denormals() nounwind {
  %word = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %word)
  %before = load i32, ptr %word
  %flushing = or i32 %before, 32832                    ; flush to zero (0x8000), denormals are zero (0x0040)
  store i32 %flushing, ptr %word
  call void @llvm.x86.sse.ldmxcsr(ptr %word)
  %result = zext i32 %before to i64
  ret i64 %result
}

define internal void @restore_control(i64 %before) nounwind {
  %word = alloca i32
  %narrow = trunc i64 %before to i32
  store i32 %narrow, ptr %word
  call void @llvm.x86.sse.ldmxcsr(ptr %word)
  ret void
}

define internal void @wait_a_moment() nounwind {
  call void @llvm.x86.sse2.pause()
  ret void
}
