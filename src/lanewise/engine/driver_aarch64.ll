
; What the driver needs of an AArch64 processor: its control word FPCR, and a hint that a thread is only waiting.

declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
declare void @llvm.aarch64.hint(i32)

define internal i64 @flush_denormals() nounwind {
  %before = call i64 @llvm.aarch64.get.fpcr()
  %flushing = or i64 %before, 16777216                 ; FZ, bit 24: denormals are zero, coming in and going out
  call void @llvm.aarch64.set.fpcr(i64 %flushing)
  ret i64 %before
}

define internal void @restore_control(i64 %before) nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %before)
  ret void
}

define internal void @wait_a_moment() nounwind {
  call void @llvm.aarch64.hint(i32 1)                  ; yield
  ret void
}
