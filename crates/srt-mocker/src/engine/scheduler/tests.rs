//! Scripts in, timelines out. In every test a prompt token takes 1 ms, a decode step 10 ms and 1 ms per running
//! sequence, and a KV cache travels at 10 tokens per ms.

#![expect(clippy::needless_raw_string_hashes, reason = "the snapshot tool writes them so")]

use std::fmt::Write;

use expect_test::{Expect, expect};
use srt_topology::Role;

use super::{super::prompt::PromptBuilder, *};

fn model(role: Role) -> Model {
    Model {
        role,
        prefill_tps: 1000.0,
        itl_base: Duration::from_millis(10),
        itl_per_running: Duration::from_millis(1),
        chunk_tokens: 100,
        capacity_tokens: 1000,
        max_running: 3,
        kv_transfer_tps: 10_000.0,
        kv_timeout: Duration::from_secs(1),
        prefix_cache: false,
    }
}

/// Runs a script of `MS COMMAND ARGUMENTS` lines and compares what happens, step by step, until nothing is left to do.
#[track_caller]
fn check(model: Model, script: &str, expected: &Expect) {
    let mut scheduler = Scheduler::new(model);
    let mut timeline = String::new();
    for line in script.trim().lines() {
        let mut words = line.split_whitespace();
        let mut word = || words.next().expect("a word");
        let now = Duration::from_millis(word().parse().expect("milliseconds"));
        run_until(&mut scheduler, now, &mut timeline);
        let mut events = Vec::new();
        match word() {
            "submit" => {
                let (id, prompt, output) = (number(word()), number(word()), number(word()));
                let room = words.next().map(number);
                let mut builder = PromptBuilder::new();
                (0..prompt).for_each(|token| builder.push_token(token));
                let job = Job {
                    id: SequenceId(id),
                    prompt: builder.build(),
                    output_tokens: u32::try_from(output).expect("few tokens"),
                    room,
                };
                scheduler.submit(job, now, &mut events);
            }
            "announce" => scheduler.room_announced(number(word()), now, &mut events),
            "withdraw" => {
                let removed = scheduler.room_withdrawn(number(word()), now, &mut events);
                writeln!(timeline, "{:<4} removed {removed:?}", now.as_millis()).expect("a string");
            }
            "arrived" => scheduler.kv_arrived(SequenceId(number(word())), now, &mut events),
            "cancel" => scheduler.remove(SequenceId(number(word())), now, &mut events),
            "flush" => {
                writeln!(timeline, "{:<4} flushed: {}", now.as_millis(), scheduler.flush_cache())
                    .expect("a string");
            }
            other => panic!("no command `{other}`"),
        }
        print(now, &events, &mut timeline);
    }
    run_until(&mut scheduler, Duration::MAX, &mut timeline);
    assert_eq!(scheduler.load(), Load::default(), "everything is given back at the end");
    expected.assert_eq(&timeline);
}

fn number(word: &str) -> u64 {
    word.parse().expect("a number")
}

fn run_until(scheduler: &mut Scheduler, until: Duration, timeline: &mut String) {
    while let Some(time) = scheduler.next_event_at().filter(|time| *time <= until) {
        let mut events = Vec::new();
        scheduler.advance(time, &mut events);
        print(time, &events, timeline);
    }
}

fn print(now: Duration, events: &[Event], timeline: &mut String) {
    for event in events {
        let text = match event {
            Event::Token(SequenceId(id)) => format!("token of {id}"),
            Event::Finished(SequenceId(id)) => format!("{id} finished"),
            Event::Reserved(SequenceId(id)) => format!("{id} reserved"),
            Event::KvSent { room, tokens } => format!("room {room} got {tokens} tokens"),
            Event::TimedOut(SequenceId(id)) => format!("{id} timed out"),
            Event::Step(StepReport { work, load, .. }) => {
                let work = match work {
                    StepWork::Prefill { sequences, new_tokens, cached_tokens } => {
                        format!("prefill of {sequences}: {new_tokens} new + {cached_tokens} cached")
                    }
                    StepWork::Decode { sequences } => format!("decode of {sequences}"),
                };
                let Load { running, queued, preallocating, transferring, used_tokens, reserved_tokens } =
                    load;
                format!(
                    "{work} ({running} running, {queued} queued, {preallocating} preallocating, \
                     {transferring} transferring, {used_tokens}/{reserved_tokens} tokens)"
                )
            }
        };
        writeln!(timeline, "{:<4} {text}", now.as_millis()).expect("a string");
    }
}

#[test]
fn a_prompt_is_computed_and_then_decoded() {
    check(
        model(Role::Agg),
        "0 submit 1 20 3",
        &expect![[r#"
            20   prefill of 1: 20 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 20/23 tokens)
            20   token of 1
            31   decode of 1 (1 running, 0 queued, 0 preallocating, 0 transferring, 21/23 tokens)
            31   token of 1
            42   decode of 1 (1 running, 0 queued, 0 preallocating, 0 transferring, 22/23 tokens)
            42   token of 1
            42   1 finished
        "#]],
    );
}

#[test]
fn prompts_that_wait_go_before_decoding_and_share_a_batch() {
    check(
        model(Role::Agg),
        "0 submit 1 20 3\n5 submit 2 30 2\n6 submit 3 40 1",
        &expect![[r#"
            20   prefill of 1: 20 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 20/23 tokens)
            20   token of 1
            90   prefill of 2: 70 new + 0 cached (1 running, 0 queued, 0 preallocating, 0 transferring, 91/96 tokens)
            90   token of 2
            90   token of 3
            90   3 finished
            102  decode of 2 (2 running, 0 queued, 0 preallocating, 0 transferring, 52/55 tokens)
            102  token of 1
            102  token of 2
            102  2 finished
            113  decode of 1 (1 running, 0 queued, 0 preallocating, 0 transferring, 22/23 tokens)
            113  token of 1
            113  1 finished
        "#]],
    );
}

#[test]
fn a_long_prompt_takes_several_batches() {
    check(
        model(Role::Agg),
        "0 submit 1 250 1",
        &expect![[r#"
            100  prefill of 1: 100 new + 0 cached (0 running, 1 queued, 0 preallocating, 0 transferring, 100/251 tokens)
            200  prefill of 1: 100 new + 0 cached (0 running, 1 queued, 0 preallocating, 0 transferring, 200/251 tokens)
            250  prefill of 1: 50 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 250/251 tokens)
            250  token of 1
            250  1 finished
        "#]],
    );
}

#[test]
fn a_full_cache_makes_requests_wait() {
    check(
        Model { chunk_tokens: 1000, ..model(Role::Agg) },
        "0 submit 1 90 2\n0 submit 2 908 2\n1 submit 3 10 1",
        &expect![[r#"
            90   prefill of 1: 90 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 90/92 tokens)
            90   token of 1
            101  decode of 1 (1 running, 2 queued, 0 preallocating, 0 transferring, 91/92 tokens)
            101  token of 1
            101  1 finished
            1019 prefill of 2: 918 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 918/921 tokens)
            1019 token of 2
            1019 token of 3
            1019 3 finished
            1030 decode of 1 (1 running, 0 queued, 0 preallocating, 0 transferring, 909/910 tokens)
            1030 token of 2
            1030 2 finished
        "#]],
    );
}

#[test]
fn only_so_many_requests_run_at_once() {
    check(
        model(Role::Agg),
        "0 submit 1 1 2\n0 submit 2 1 2\n0 submit 3 1 2\n0 submit 4 1 2\n0 submit 5 1 1",
        &expect![[r#"
            1    prefill of 1: 1 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 1/3 tokens)
            1    token of 1
            3    prefill of 2: 2 new + 0 cached (1 running, 2 queued, 0 preallocating, 0 transferring, 4/9 tokens)
            3    token of 2
            3    token of 3
            16   decode of 3 (3 running, 2 queued, 0 preallocating, 0 transferring, 6/9 tokens)
            16   token of 1
            16   1 finished
            16   token of 2
            16   2 finished
            16   token of 3
            16   3 finished
            18   prefill of 2: 2 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 2/5 tokens)
            18   token of 4
            18   token of 5
            18   5 finished
            29   decode of 1 (1 running, 0 queued, 0 preallocating, 0 transferring, 2/3 tokens)
            29   token of 4
            29   4 finished
        "#]],
    );
}

#[test]
fn a_cancelled_request_gives_its_place_back() {
    check(
        model(Role::Agg),
        "0 submit 1 10 100\n15 submit 2 10 2\n30 cancel 1\n31 submit 3 200 1\n60 cancel 3",
        &expect![[r#"
            10   prefill of 1: 10 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 10/110 tokens)
            10   token of 1
            21   decode of 1 (1 running, 0 queued, 0 preallocating, 0 transferring, 11/110 tokens)
            21   token of 1
            31   prefill of 1: 10 new + 0 cached (1 running, 0 queued, 0 preallocating, 0 transferring, 22/122 tokens)
            31   token of 2
            42   decode of 1 (1 running, 0 queued, 0 preallocating, 0 transferring, 11/12 tokens)
            42   token of 2
            42   2 finished
            142  prefill of 1: 100 new + 0 cached (0 running, 1 queued, 0 preallocating, 0 transferring, 100/201 tokens)
        "#]],
    );
}

#[test]
fn no_output_ends_with_the_prompt() {
    check(
        model(Role::Agg),
        "0 submit 1 10 0",
        &expect![[r#"
            10   prefill of 1: 10 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 10/10 tokens)
            10   1 finished
        "#]],
    );
}

#[test]
fn equal_beginnings_are_cached() {
    let model = Model { prefix_cache: true, chunk_tokens: 1000, ..model(Role::Agg) };
    check(
        model,
        "0 submit 1 130 1\n200 submit 2 200 1\n500 submit 3 128 1\n500 flush\n600 flush\n700 submit 4 64 1",
        &expect![[r#"
            130  prefill of 1: 130 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 130/131 tokens)
            130  token of 1
            130  1 finished
            272  prefill of 1: 72 new + 128 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 200/201 tokens)
            272  token of 2
            272  2 finished
            500  flushed: false
            501  prefill of 1: 1 new + 127 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 128/129 tokens)
            501  token of 3
            501  3 finished
            600  flushed: true
            764  prefill of 1: 64 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 64/65 tokens)
            764  token of 4
            764  4 finished
        "#]],
    );
}

#[test]
fn prefill_waits_for_its_room_and_sends_the_cache() {
    check(
        model(Role::Prefill),
        "0 submit 1 50 8 77\n10 announce 77\n20 announce 78\n30 submit 2 20 8 78",
        &expect![[r#"
            60   prefill of 1: 50 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 50/51 tokens)
            65   room 77 got 50 tokens
            65   token of 1
            65   1 finished
            80   prefill of 1: 20 new + 0 cached (0 running, 0 queued, 0 preallocating, 1 transferring, 70/72 tokens)
            82   room 78 got 20 tokens
            82   token of 2
            82   2 finished
        "#]],
    );
}

#[test]
fn prefill_gives_up_when_nobody_announces_the_room() {
    check(
        model(Role::Prefill),
        "0 submit 1 50 8 77",
        &expect![[r#"
        1000 1 timed out
    "#]],
    );
}

#[test]
fn prefill_forgets_a_room_whose_decode_engine_is_gone() {
    check(
        model(Role::Prefill),
        "0 submit 1 50 8 77\n1 announce 77\n10 withdraw 77\n11 announce 78\n12 withdraw 78",
        &expect![[r#"
            10   removed Some(SequenceId(1))
            12   removed None
            51   prefill of 1: 50 new + 0 cached (0 running, 0 queued, 0 preallocating, 0 transferring, 50/51 tokens)
        "#]],
    );
}

#[test]
fn decode_asks_for_what_fits_and_starts_when_it_is_there() {
    check(
        model(Role::Decode),
        "0 submit 1 500 3 71\n0 submit 2 600 2 72\n20 arrived 1\n25 submit 3 10 1 73\n90 arrived 2\n95 arrived 3",
        &expect![[r#"
            0    1 reserved
            20   token of 1
            31   decode of 1 (1 running, 0 queued, 1 preallocating, 0 transferring, 501/503 tokens)
            31   token of 1
            42   decode of 1 (1 running, 0 queued, 2 preallocating, 0 transferring, 502/503 tokens)
            42   token of 1
            42   1 finished
            42   2 reserved
            42   3 reserved
            90   token of 2
            101  decode of 1 (1 running, 0 queued, 0 preallocating, 1 transferring, 601/613 tokens)
            101  token of 2
            101  2 finished
            101  token of 3
            101  3 finished
        "#]],
    );
}

#[test]
fn decode_gives_up_when_the_cache_does_not_come() {
    check(
        model(Role::Decode),
        "0 submit 1 500 3 71\n500 submit 2 100 1 72\n1001 arrived 1",
        &expect![[r#"
            0    1 reserved
            500  2 reserved
            1000 1 timed out
            1500 2 timed out
        "#]],
    );
}
