; The driver: many steps of a schedule in one native call, on several threads that meet at barriers.
;
; Every thread calls driver(job, thread) with the same job and its own number. A step is a list of phases. The tasks
; of a phase are independent of one another, and all threads meet before the next phase starts. Each thread has a share
; of them, the same in each step, so that what a task read and wrote before is still in its core's cache; whoever is
; done with it helps the next. What a task computes does not depend on who runs it, so neither do the results. A task runs sections, a
; section runs its list of calls `repeats` times. A section may be for some of the tasks alone: `tasks` of them from
; `first` on, which it counts from 0. A call hands a kernel an array of pointers, each one worked out as
;
;     base + offset + thread * s0 + step * s1 + task * s2 + repeat * s3          (all in bytes)
;
; `counts`, where given, holds one number a step: repetitions from that one on (counted as task * repeats + repeat, over
; all tasks) are left out, which is how a batch that is not full skips the groups it does not have. Where `absent` is not
; 0, it is those repetitions alone that are made.
;
; All fields are 64 bits wide. `engine/schedule.py` lays them out. Behind this text comes that of the processor's family,
; driver_x86.ll or driver_aarch64.ll, with flush_denormals, restore_control and wait_a_moment.

%Job     = type { ptr, i64, i64, i64, ptr, ptr, ptr }  ; bases, steps, threads, phases, phase list, barrier, waiting
%Phase   = type { i64, i64, ptr }                      ; tasks, sections, section list
%Section = type { i64, i64, i64, i64, ptr, ptr, i64 }  ; first, tasks, repeats, calls, call list, counts (or null), absent
%Call    = type { ptr, i64, ptr }                      ; kernel, arguments, argument list
%Arg     = type { i64, i64, i64, i64, i64, i64 }       ; base, offset, s0, s1, s2, s3
%Waiting = type { i64, i64, ptr, ptr, i64 }            ; spins, yields, function that yields, function that sleeps, how long
%Barrier = type { i64, [7 x i64], i64, [7 x i64], [0 x [8 x i64]] }
                                                       ; arrived, -, generation, -, taken of each thread's share, -:
                                                       ; a cache line each

define void @driver(ptr %job, i64 %thread) nounwind {
entry:
  ; Denormal numbers make the gradients of a well-trained network many times slower: treat them as zero here, and give
  ; the caller its control word back at the end.
  %pointers = alloca [64 x ptr], align 64
  %control.before = call i64 @flush_denormals()

  %steps.p = getelementptr %Job, ptr %job, i64 0, i32 1
  %steps = load i64, ptr %steps.p
  %phases.p = getelementptr %Job, ptr %job, i64 0, i32 3
  %phases = load i64, ptr %phases.p
  %phase.list.p = getelementptr %Job, ptr %job, i64 0, i32 4
  %phase.list = load ptr, ptr %phase.list.p
  %barrier.p = getelementptr %Job, ptr %job, i64 0, i32 5
  %barrier = load ptr, ptr %barrier.p
  %threads.p = getelementptr %Job, ptr %job, i64 0, i32 2
  %threads = load i64, ptr %threads.p
  br label %step.test

step.test:
  %step = phi i64 [ 0, %entry ], [ %step.next, %step.end ]
  %step.more = icmp slt i64 %step, %steps
  br i1 %step.more, label %phase.test, label %done

phase.test:
  %phase = phi i64 [ 0, %step.test ], [ %phase.next, %phase.end ]
  %phase.more = icmp slt i64 %phase, %phases
  br i1 %phase.more, label %phase.begin, label %step.end

phase.begin:
  %phase.p = getelementptr %Phase, ptr %phase.list, i64 %phase
  %tasks = load i64, ptr %phase.p
  %sections.p = getelementptr %Phase, ptr %phase.p, i64 0, i32 1
  %sections = load i64, ptr %sections.p
  %section.list.p = getelementptr %Phase, ptr %phase.p, i64 0, i32 2
  %section.list = load ptr, ptr %section.list.p
  br label %share

share:
  %helped = phi i64 [ 0, %phase.begin ], [ %helped.next, %share.end ]
  %around = add i64 %thread, %helped
  %beyond = icmp sge i64 %around, %threads
  %wrapped = sub i64 %around, %threads
  %owner = select i1 %beyond, i64 %wrapped, i64 %around
  %owner.next = add i64 %owner, 1
  %share.first.times = mul i64 %owner, %tasks
  %share.first = sdiv i64 %share.first.times, %threads
  %share.limit.times = mul i64 %owner.next, %tasks
  %share.limit = sdiv i64 %share.limit.times, %threads
  %taken.p = getelementptr %Barrier, ptr %barrier, i64 0, i32 4, i64 %owner
  br label %take

take:
  %taken = atomicrmw add ptr %taken.p, i64 1 monotonic
  %task = add i64 %share.first, %taken
  %task.more = icmp slt i64 %task, %share.limit
  br i1 %task.more, label %section.test, label %share.end

share.end:
  %helped.next = add i64 %helped, 1
  %share.more = icmp slt i64 %helped.next, %threads
  br i1 %share.more, label %share, label %phase.end

section.test:
  %section = phi i64 [ 0, %take ], [ %section.next, %section.end ]
  %section.more = icmp slt i64 %section, %sections
  br i1 %section.more, label %section.begin, label %take

section.begin:
  %section.p = getelementptr %Section, ptr %section.list, i64 %section
  %first.task = load i64, ptr %section.p
  %own.tasks.p = getelementptr %Section, ptr %section.p, i64 0, i32 1
  %own.tasks = load i64, ptr %own.tasks.p
  %own.task = sub i64 %task, %first.task
  %own = icmp ult i64 %own.task, %own.tasks ; an earlier task is negative, which unsigned is more than any
  br i1 %own, label %section.own, label %section.end

section.own:
  %repeats.p = getelementptr %Section, ptr %section.p, i64 0, i32 2
  %repeats = load i64, ptr %repeats.p
  %calls.p = getelementptr %Section, ptr %section.p, i64 0, i32 3
  %calls = load i64, ptr %calls.p
  %call.list.p = getelementptr %Section, ptr %section.p, i64 0, i32 4
  %call.list = load ptr, ptr %call.list.p
  %counts.p = getelementptr %Section, ptr %section.p, i64 0, i32 5
  %counts = load ptr, ptr %counts.p
  %counted = icmp ne ptr %counts, null
  br i1 %counted, label %section.count, label %section.limit

section.count:
  %count.p = getelementptr i64, ptr %counts, i64 %step
  %count = load i64, ptr %count.p
  %task.first = mul i64 %own.task, %repeats
  %left = sub i64 %count, %task.first
  %fewer = icmp slt i64 %left, %repeats
  %at.most = select i1 %fewer, i64 %left, i64 %repeats
  %none = icmp slt i64 %at.most, 0
  %present = select i1 %none, i64 0, i64 %at.most
  %absent.p = getelementptr %Section, ptr %section.p, i64 0, i32 6
  %absent = load i64, ptr %absent.p
  %others = icmp ne i64 %absent, 0
  %first.counted = select i1 %others, i64 %present, i64 0
  %limit.counted = select i1 %others, i64 %repeats, i64 %present
  br label %section.limit

section.limit:
  %first = phi i64 [ 0, %section.own ], [ %first.counted, %section.count ]
  %limit = phi i64 [ %repeats, %section.own ], [ %limit.counted, %section.count ]
  br label %repeat.test

repeat.test:
  %repeat = phi i64 [ %first, %section.limit ], [ %repeat.next, %repeat.end ]
  %repeat.more = icmp slt i64 %repeat, %limit
  br i1 %repeat.more, label %call.test, label %section.end

call.test:
  %call = phi i64 [ 0, %repeat.test ], [ %call.next, %call.run ]
  %call.more = icmp slt i64 %call, %calls
  br i1 %call.more, label %call.begin, label %repeat.end

call.begin:
  %call.p = getelementptr %Call, ptr %call.list, i64 %call
  %kernel = load ptr, ptr %call.p
  %args.p = getelementptr %Call, ptr %call.p, i64 0, i32 1
  %args = load i64, ptr %args.p
  %arg.list.p = getelementptr %Call, ptr %call.p, i64 0, i32 2
  %arg.list = load ptr, ptr %arg.list.p
  %bases = load ptr, ptr %job
  br label %arg.test

arg.test:
  %arg = phi i64 [ 0, %call.begin ], [ %arg.next, %arg.begin ]
  %arg.more = icmp slt i64 %arg, %args
  br i1 %arg.more, label %arg.begin, label %call.run

arg.begin:
  %arg.p = getelementptr %Arg, ptr %arg.list, i64 %arg
  %base.number = load i64, ptr %arg.p
  %base.p = getelementptr ptr, ptr %bases, i64 %base.number
  %base = load ptr, ptr %base.p
  %offset.p = getelementptr %Arg, ptr %arg.p, i64 0, i32 1
  %offset = load i64, ptr %offset.p
  %s0.p = getelementptr %Arg, ptr %arg.p, i64 0, i32 2
  %s0 = load i64, ptr %s0.p
  %s1.p = getelementptr %Arg, ptr %arg.p, i64 0, i32 3
  %s1 = load i64, ptr %s1.p
  %s2.p = getelementptr %Arg, ptr %arg.p, i64 0, i32 4
  %s2 = load i64, ptr %s2.p
  %s3.p = getelementptr %Arg, ptr %arg.p, i64 0, i32 5
  %s3 = load i64, ptr %s3.p
  %by.thread = mul i64 %thread, %s0
  %by.step = mul i64 %step, %s1
  %by.task = mul i64 %own.task, %s2
  %by.repeat = mul i64 %repeat, %s3
  %sum0 = add i64 %offset, %by.thread
  %sum1 = add i64 %sum0, %by.step
  %sum2 = add i64 %sum1, %by.task
  %sum3 = add i64 %sum2, %by.repeat
  %pointer = getelementptr i8, ptr %base, i64 %sum3
  %slot = getelementptr [64 x ptr], ptr %pointers, i64 0, i64 %arg
  store ptr %pointer, ptr %slot
  %arg.next = add i64 %arg, 1
  br label %arg.test

call.run:
  call void %kernel(ptr %pointers)
  %call.next = add i64 %call, 1
  br label %call.test

repeat.end:
  %repeat.next = add i64 %repeat, 1
  br label %repeat.test

section.end:
  %section.next = add i64 %section, 1
  br label %section.test

phase.end:
  call void @meet(ptr %job, ptr %barrier)
  %phase.next = add i64 %phase, 1
  br label %phase.test

step.end:
  %step.next = add i64 %step, 1
  br label %step.test

done:
  call void @restore_control(i64 %control.before)
  ret void
}

; Wait until all threads are here. The last one puts the counters of tasks back and lets the others go. Whoever waits spins
; for a moment (the usual case: the others are about to arrive), then may yield its core to whoever else wants it (where
; sleeps are long), and then sleeps between one look and the next.
define internal void @meet(ptr %job, ptr %barrier) nounwind {
entry:
  %threads.p = getelementptr %Job, ptr %job, i64 0, i32 2
  %threads = load i64, ptr %threads.p
  %waiting.p = getelementptr %Job, ptr %job, i64 0, i32 6
  %waiting = load ptr, ptr %waiting.p
  %generation.p = getelementptr %Barrier, ptr %barrier, i64 0, i32 2
  %generation = load atomic i64, ptr %generation.p acquire, align 8
  %before = atomicrmw add ptr %barrier, i64 1 acq_rel
  %arrived = add i64 %before, 1
  %last = icmp eq i64 %arrived, %threads
  br i1 %last, label %release, label %wait.begin

release:
  store atomic i64 0, ptr %barrier monotonic, align 8
  br label %reset

reset:
  %owner = phi i64 [ 0, %release ], [ %owner.next, %reset ]
  %taken.p = getelementptr %Barrier, ptr %barrier, i64 0, i32 4, i64 %owner
  store atomic i64 0, ptr %taken.p monotonic, align 8
  %owner.next = add i64 %owner, 1
  %reset.more = icmp slt i64 %owner.next, %threads
  br i1 %reset.more, label %reset, label %let.go

let.go:
  %generation.next = add i64 %generation, 1
  store atomic i64 %generation.next, ptr %generation.p release, align 8
  ret void

wait.begin:
  %spins = load i64, ptr %waiting
  %yields.p = getelementptr %Waiting, ptr %waiting, i64 0, i32 1
  %yields = load i64, ptr %yields.p
  %yield.p = getelementptr %Waiting, ptr %waiting, i64 0, i32 2
  %yield.function = load ptr, ptr %yield.p
  %sleep.p = getelementptr %Waiting, ptr %waiting, i64 0, i32 3
  %sleep.function = load ptr, ptr %sleep.p
  %sleep.time.p = getelementptr %Waiting, ptr %waiting, i64 0, i32 4
  %sleep.time.long = load i64, ptr %sleep.time.p
  %sleep.time = trunc i64 %sleep.time.long to i32
  %patience = add i64 %spins, %yields
  br label %wait

wait:
  %looks = phi i64 [ 0, %wait.begin ], [ %looks.next, %again ]
  %now = load atomic i64, ptr %generation.p acquire, align 8
  %open = icmp ne i64 %now, %generation
  br i1 %open, label %leave, label %choose

choose:
  %looks.next = add i64 %looks, 1
  %soon = icmp slt i64 %looks, %spins
  br i1 %soon, label %spin, label %later

spin:
  call void @wait_a_moment()
  br label %again

later:
  %short = icmp slt i64 %looks, %patience
  br i1 %short, label %yield, label %sleep

yield:
  call void %yield.function()
  br label %again

sleep:
  call void %sleep.function(i32 %sleep.time)
  br label %again

again:
  br label %wait

leave:
  ret void
}
