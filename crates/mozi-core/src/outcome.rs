//! How attempts end, and why.

use crate::project::words;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It gave a verdict and has ended; or exit 0 where that is the verdict.
    Completed,
    /// Exit 0 without a verdict.
    NoVerdict,
    /// Another exit status, or a signal that was not ours, without a verdict.
    Crashed,
    /// Its deadline passed; killed.
    TimedOut,
    /// No sign of life for too long; killed.
    Stalled,
    /// Revoked and stopped.
    Cancelled,
    /// A limit of tokens, cost or output was passed; killed.
    OverBudget,
    /// It could not be started.
    SpawnFailed,
    /// Its supervisor or machine vanished.
    Lost,
    /// Nothing was started, as asked.
    DryRun,
}

/// Why an attempt ended as it did. Closed here, open for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each has its sentence in `advice`")]
pub enum Reason {
    ProgramNotFound,
    BadConfig,
    AuthFailed,
    QuotaExhausted,
    RateLimited,
    ModelError,
    OutOfMemory,
    DiskFull,
    KilledBySignal,
    ExitStatus,
    Deadline,
    Stall,
    OutputLimit,
    CostLimit,
    Lingered,
    StoppedByPerson,
    SupervisorLost,
    SupervisorStuck,
    MachineRebooted,
    MachineLost,
    GatewayLost,
    NoReport,
    PermissionDenied,
    Incomplete,
    NeverStarted,
}

words! {
    Outcome {
        Completed => "completed", NoVerdict => "no_verdict", Crashed => "crashed", TimedOut => "timed_out",
        Stalled => "stalled", Cancelled => "cancelled", OverBudget => "over_budget", SpawnFailed => "spawn_failed",
        Lost => "lost", DryRun => "dry_run",
    }
    Reason {
        ProgramNotFound => "program_not_found", BadConfig => "bad_config", AuthFailed => "auth_failed",
        QuotaExhausted => "quota_exhausted", RateLimited => "rate_limited", ModelError => "model_error",
        OutOfMemory => "out_of_memory", DiskFull => "disk_full", KilledBySignal => "killed_by_signal",
        ExitStatus => "exit_status", Deadline => "deadline", Stall => "stall", OutputLimit => "output_limit",
        CostLimit => "cost_limit", Lingered => "lingered", StoppedByPerson => "stopped_by_person",
        SupervisorLost => "supervisor_lost", SupervisorStuck => "supervisor_stuck",
        MachineRebooted => "machine_rebooted", MachineLost => "machine_lost", GatewayLost => "gateway_lost",
        NoReport => "no_report", PermissionDenied => "permission_denied", Incomplete => "incomplete",
        NeverStarted => "never_started",
    }
}

impl Reason {
    /// The provider is to blame: the agent is held back and the attempt does not count.
    pub const fn blames_provider(self) -> bool {
        matches!(self, Self::AuthFailed | Self::QuotaExhausted | Self::RateLimited)
    }

    /// A sentence of advice: English, Simplified Chinese.
    pub const fn advice(self) -> (&'static str, &'static str) {
        match self {
            Self::ProgramNotFound => (
                "The agent's program was not found: check `command` in mozi.toml and the PATH that Mozi was started with.",
                "找不到该智能体的程序：请检查 mozi.toml 中的 `command` 以及启动 Mozi 时的 PATH。",
            ),
            Self::BadConfig => (
                "The agent's settings do not work: `mozi doctor` says which.",
                "该智能体的配置不可用：运行 `mozi doctor` 查看具体原因。",
            ),
            Self::AuthFailed => (
                "The model provider refused the credentials: log the agent in again or renew its key, then `mozi agent resume`.",
                "模型服务拒绝了凭据：请重新登录或更换密钥，然后运行 `mozi agent resume`。",
            ),
            Self::QuotaExhausted => (
                "The provider's quota is used up: Mozi goes on by itself when it is renewed.",
                "模型服务的额度已用完：额度恢复后 Mozi 会自动继续。",
            ),
            Self::RateLimited => (
                "The provider is limiting or overloaded: Mozi goes on by itself after a pause.",
                "模型服务限流或过载：Mozi 会在暂停后自动继续。",
            ),
            Self::ModelError => (
                "The model answered with an error: see the log of the attempt.",
                "模型返回了错误：请查看该次尝试的日志。",
            ),
            Self::OutOfMemory => (
                "The machine ran out of memory: run fewer sessions at once or give the agent less to hold.",
                "机器内存不足：请减少同时运行的会话，或降低该智能体的内存占用。",
            ),
            Self::DiskFull => {
                ("The disk is full: make room, then retry the task.", "磁盘已满：请腾出空间后重试该任务。")
            }
            Self::KilledBySignal => (
                "The agent was ended by a signal that Mozi did not send: see the log and the system's own log.",
                "该智能体被非 Mozi 发出的信号终止：请查看日志和系统日志。",
            ),
            Self::ExitStatus => (
                "The agent ended with an error status and said nothing of the task: see its log.",
                "该智能体以错误状态退出，且未汇报任务结果：请查看其日志。",
            ),
            Self::Deadline => (
                "The time limit was reached: raise `timeout` or make the task smaller.",
                "已到时限：请增大 `timeout` 或拆小任务。",
            ),
            Self::Stall => (
                "There was no sign of life for `stall_timeout`: see the end of the log for what it hung on.",
                "在 `stall_timeout` 时间内没有任何活动迹象：请查看日志末尾，了解卡在何处。",
            ),
            Self::OutputLimit => (
                "The log passed its limit: see what the agent printed, or raise the limit.",
                "日志超出上限：请查看该智能体输出了什么，或提高上限。",
            ),
            Self::CostLimit => (
                "A limit of tokens or cost was passed: raise it or make the task smaller.",
                "已超出令牌或费用上限：请提高上限或拆小任务。",
            ),
            Self::Lingered => (
                "The agent had given its verdict but did not end; it was ended after the grace.",
                "该智能体已给出结论但没有退出，宽限期后被结束。",
            ),
            Self::StoppedByPerson => ("Somebody stopped it.", "由人工停止。"),
            Self::SupervisorLost => (
                "The process that watched over the agent vanished; what it had started was found and ended.",
                "监管该智能体的进程消失；其启动的进程已被找到并结束。",
            ),
            Self::SupervisorStuck => (
                "The process that watched over the agent did not answer and was ended.",
                "监管该智能体的进程没有响应，已被结束。",
            ),
            Self::MachineRebooted => ("The machine was restarted while it ran.", "运行期间机器重启。"),
            Self::MachineLost => ("The machine that ran it has not been heard of.", "运行它的机器失去联系。"),
            Self::GatewayLost => (
                "The OpenClaw Gateway vanished while it ran: check that it is up.",
                "运行期间 OpenClaw Gateway 消失：请确认其已启动。",
            ),
            Self::NoReport => (
                "The agent ended well but never reported a result: check that it can run `mozi report` or curl.",
                "该智能体正常结束，但没有汇报结果：请确认它能运行 `mozi report` 或 curl。",
            ),
            Self::PermissionDenied => (
                "Something was not permitted: check the rights of the agent's program and folder.",
                "权限不足：请检查该智能体程序和目录的权限。",
            ),
            Self::Incomplete => (
                "The agent's turn was cut off before it had finished: see its log.",
                "该智能体的回合在完成前被截断：请查看其日志。",
            ),
            Self::NeverStarted => (
                "Mozi was interrupted before the agent was started; nothing ran.",
                "Mozi 在启动该智能体之前被中断；没有任何进程运行过。",
            ),
        }
    }
}
