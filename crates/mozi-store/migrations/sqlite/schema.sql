CREATE TABLE agents (
  agent TEXT COLLATE NOCASE PRIMARY KEY,
  runner_id TEXT COLLATE NOCASE NOT NULL,
  runtime TEXT NOT NULL,
  aliases TEXT NOT NULL,
  roles TEXT NOT NULL,
  max_sessions INTEGER NOT NULL,
  verdict_mode TEXT NOT NULL,
  timeout_ms INTEGER,
  callback TEXT NOT NULL,
  configured INTEGER NOT NULL,
  held_back TEXT,
  paused INTEGER NOT NULL DEFAULT 0,
  paused_since INTEGER,
  paused_until INTEGER,
  paused_reason TEXT,
  paused_detail TEXT,
  paused_reset_named INTEGER NOT NULL DEFAULT 0,
  spawn_failures INTEGER NOT NULL,
  pauses INTEGER NOT NULL,
  seen_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE attempt_usage (
  project_id TEXT COLLATE NOCASE NOT NULL,
  task_id TEXT COLLATE NOCASE NOT NULL,
  attempt_number INTEGER NOT NULL,
  line INTEGER NOT NULL,
  model TEXT,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cache_read_tokens INTEGER,
  cache_write_tokens INTEGER,
  cost_micro_usd INTEGER,
  reported INTEGER NOT NULL,
  PRIMARY KEY (project_id, task_id, attempt_number, line)
) WITHOUT ROWID;
CREATE TABLE comments (
  project_id TEXT COLLATE NOCASE NOT NULL,
  task_id TEXT COLLATE NOCASE NOT NULL,
  comment_id INTEGER NOT NULL,
  attempt_number INTEGER,
  author TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT,
  actor_name TEXT,
  actor_via TEXT,
  created_at INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (project_id, task_id, comment_id),
  FOREIGN KEY (project_id, task_id) REFERENCES tasks (project_id, task_id)
) WITHOUT ROWID;
CREATE TABLE dependencies (
  project_id TEXT COLLATE NOCASE NOT NULL,
  task_id TEXT COLLATE NOCASE NOT NULL,
  depends_on TEXT COLLATE NOCASE NOT NULL,
  until TEXT NOT NULL,
  PRIMARY KEY (project_id, task_id, depends_on),
  FOREIGN KEY (project_id, task_id) REFERENCES tasks (project_id, task_id),
  FOREIGN KEY (project_id, depends_on) REFERENCES tasks (project_id, task_id)
) WITHOUT ROWID;
CREATE TABLE events (
  -- Over all projects, in the order of commits. The newest event is never removed: no number comes twice.
  seq INTEGER PRIMARY KEY,
  project_id TEXT COLLATE NOCASE,        -- none = the stream of what belongs to no project
  id INTEGER NOT NULL,                   -- 1, 2, 3 ... of its stream
  task_id TEXT COLLATE NOCASE,
  attempt_number INTEGER,
  agent TEXT COLLATE NOCASE,
  event_type TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT,
  actor_name TEXT,
  actor_via TEXT,
  at INTEGER NOT NULL,
  detail TEXT NOT NULL
);
CREATE TABLE idempotency (
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  body_sha256 BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  reply TEXT NOT NULL, -- which kind of answer, and the ids to build it from
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE TABLE meta (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  board_id TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT 0,
  stream_last INTEGER NOT NULL DEFAULT 0 -- newest event id of the stream of what belongs to no project
, pruned_seq INTEGER NOT NULL DEFAULT 0, at_rest INTEGER NOT NULL DEFAULT 1);
CREATE TABLE outputs (
  id INTEGER PRIMARY KEY,
  project_id TEXT COLLATE NOCASE NOT NULL,
  task_id TEXT COLLATE NOCASE NOT NULL,
  output_id INTEGER NOT NULL,
  attempt_number INTEGER,
  agent TEXT COLLATE NOCASE,
  type TEXT NOT NULL,
  title TEXT NOT NULL,
  summary TEXT,
  file_name TEXT,
  sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT,
  actor_name TEXT,
  actor_via TEXT,
  created_at INTEGER NOT NULL,
  inline INTEGER NOT NULL, -- else the bytes are in the file that sha256 names
  content BLOB,
  FOREIGN KEY (project_id, task_id) REFERENCES tasks (project_id, task_id)
);
CREATE TABLE projects (
  project_id TEXT COLLATE NOCASE PRIMARY KEY,
  name TEXT,
  archived INTEGER NOT NULL DEFAULT 0,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  next_task INTEGER NOT NULL,
  last_event INTEGER NOT NULL,
  pending INTEGER NOT NULL DEFAULT 0,
  claimed INTEGER NOT NULL DEFAULT 0,
  working INTEGER NOT NULL DEFAULT 0,
  review INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  blocked INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  default_agent TEXT COLLATE NOCASE,
  dispatch TEXT NOT NULL,
  reviewer TEXT COLLATE NOCASE NOT NULL, -- human, none, or an agent
  require_output TEXT NOT NULL,
  max_attempts INTEGER NOT NULL,
  max_review_attempts INTEGER NOT NULL,
  max_review_rounds INTEGER NOT NULL,
  on_no_verdict TEXT NOT NULL,
  on_lost TEXT NOT NULL,
  on_timeout TEXT NOT NULL,
  backoff_initial_ms INTEGER NOT NULL,
  backoff_max_ms INTEGER NOT NULL,
  max_sessions INTEGER,
  agents_may_create INTEGER NOT NULL,
  language TEXT NOT NULL,
  bootstrap TEXT,
  settings TEXT NOT NULL DEFAULT '{}', -- settings of later versions
  first_event INTEGER NOT NULL DEFAULT 1 -- the oldest event id that pruning has left
) WITHOUT ROWID;
CREATE TABLE runners (
  runner_id TEXT COLLATE NOCASE PRIMARY KEY,
  max_sessions INTEGER NOT NULL,
  online INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  pid_namespace TEXT NOT NULL,
  version TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  lease_until INTEGER, -- of a remote runner
  address TEXT
) WITHOUT ROWID;
CREATE TABLE sessions (
  session_id TEXT PRIMARY KEY,
  agent TEXT COLLATE NOCASE NOT NULL,
  runner_id TEXT COLLATE NOCASE NOT NULL,
  project_id TEXT COLLATE NOCASE,
  task_id TEXT COLLATE NOCASE,
  attempt_number INTEGER,
  by_name INTEGER NOT NULL DEFAULT 0,
  message TEXT,
  verbatim INTEGER NOT NULL DEFAULT 0,
  taken INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL,
  pid INTEGER,
  held_up_by TEXT,
  held_up_detail TEXT,
  stop_requested TEXT,
  forced INTEGER NOT NULL DEFAULT 0,
  clean_requested INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER NOT NULL,
  completed_at INTEGER
, error TEXT) WITHOUT ROWID;
CREATE TABLE task_attempts (
  id INTEGER PRIMARY KEY,
  project_id TEXT COLLATE NOCASE NOT NULL,
  task_id TEXT COLLATE NOCASE NOT NULL,
  attempt_number INTEGER NOT NULL,
  role TEXT NOT NULL,
  agent TEXT COLLATE NOCASE NOT NULL,
  session_id TEXT NOT NULL,
  runner_id TEXT COLLATE NOCASE NOT NULL,
  boot_id TEXT,
  pid_namespace TEXT,
  token_hash BLOB,
  verdict_mode TEXT NOT NULL,
  verdict TEXT,
  verdict_at INTEGER,
  revoked_at INTEGER,
  revoked_why TEXT,
  outcome TEXT,
  reason TEXT,
  exit_code INTEGER,
  signal INTEGER,
  timeout_ms INTEGER,
  workspace TEXT,
  started_at INTEGER NOT NULL,
  completed_at INTEGER,
  outputs INTEGER NOT NULL DEFAULT 0,
  created_tasks INTEGER NOT NULL DEFAULT 0,
  cpu_ms INTEGER,
  max_rss_bytes INTEGER,
  lease_until INTEGER, -- of a remote runner
  branch TEXT,         -- of a worktree
  log_expired_at INTEGER,
  metadata TEXT NOT NULL DEFAULT '{}',
  tail_stdout_bytes INTEGER,
  tail_stderr_bytes INTEGER,
  tail_stdout TEXT,
  tail_stderr TEXT,
  FOREIGN KEY (project_id, task_id) REFERENCES tasks (project_id, task_id)
);
CREATE TABLE task_texts (
  id INTEGER PRIMARY KEY REFERENCES tasks (id),
  fingerprint TEXT NOT NULL, -- of the body that made the task
  must_haves TEXT NOT NULL DEFAULT '[]',
  metadata TEXT NOT NULL DEFAULT '{}',
  description TEXT
);
CREATE TABLE tasks (
  id INTEGER PRIMARY KEY, -- in order of creation; never shown
  project_id TEXT COLLATE NOCASE NOT NULL REFERENCES projects (project_id),
  task_id TEXT COLLATE NOCASE NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  status TEXT NOT NULL,
  kind TEXT,
  detail TEXT,
  set_by INTEGER,
  not_before INTEGER,
  not_before_by_board INTEGER NOT NULL DEFAULT 0,
  last_attempt INTEGER NOT NULL DEFAULT 0,
  open_attempt INTEGER,
  open_role TEXT,
  executors TEXT NOT NULL DEFAULT '[]',
  budget_used INTEGER NOT NULL DEFAULT 0,
  review_used INTEGER NOT NULL DEFAULT 0,
  repeats INTEGER NOT NULL DEFAULT 0,
  spawn_failures INTEGER NOT NULL DEFAULT 0,
  rounds INTEGER NOT NULL DEFAULT 0,
  reviewer_given_up INTEGER NOT NULL DEFAULT 0,
  unmet INTEGER NOT NULL DEFAULT 0,
  depth INTEGER NOT NULL DEFAULT 0,
  next_output INTEGER NOT NULL DEFAULT 1,
  next_comment INTEGER NOT NULL DEFAULT 1,
  title TEXT NOT NULL,
  task_type TEXT NOT NULL,
  priority INTEGER NOT NULL,
  agent TEXT COLLATE NOCASE,
  timeout_ms INTEGER,
  max_attempts INTEGER,
  reviewer TEXT COLLATE NOCASE,
  parent TEXT COLLATE NOCASE,
  labels TEXT NOT NULL DEFAULT '{}',
  created_by_kind TEXT NOT NULL,
  created_by_id TEXT,
  created_by_name TEXT,
  created_by_via TEXT,
  -- The place in the queue, kept with every change: what this task waits for is a claim for queue_role by
  -- queue_agent ('' = whom the project names), not before queue_from (none = now).
  queue_role TEXT,
  queue_agent TEXT COLLATE NOCASE NOT NULL DEFAULT '',
  queue_from INTEGER,
  -- The next attempt whose branch, budget and the like later versions may need to know of.
  extra TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE tokens (
  name TEXT PRIMARY KEY,
  token_hash BLOB NOT NULL UNIQUE,
  user_id TEXT,
  role TEXT,
  runner_id TEXT COLLATE NOCASE,
  project_id TEXT COLLATE NOCASE,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER,
  revoked_at INTEGER
) WITHOUT ROWID;
CREATE TABLE users (
  user_id TEXT COLLATE NOCASE PRIMARY KEY,
  role TEXT NOT NULL,
  project_id TEXT COLLATE NOCASE,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  disabled_at INTEGER
) WITHOUT ROWID;
CREATE INDEX dependencies_on ON dependencies (project_id, depends_on, task_id, until);
CREATE UNIQUE INDEX events_key ON events (project_id, id);
CREATE INDEX events_task ON events (project_id, task_id, id) WHERE task_id IS NOT NULL;
CREATE INDEX idempotency_age ON idempotency (created_at);
CREATE INDEX outputs_blob ON outputs (sha256) WHERE inline = 0;
CREATE UNIQUE INDEX outputs_key ON outputs (project_id, task_id, output_id);
CREATE INDEX projects_default_agent ON projects (default_agent)
  WHERE archived = 0 AND dispatch = 'auto' AND pending > 0 AND default_agent IS NOT NULL;
CREATE INDEX projects_reviewer ON projects (reviewer) WHERE archived = 0 AND dispatch = 'auto' AND review > 0;
CREATE INDEX sessions_clean ON sessions (runner_id) WHERE clean_requested = 1 AND completed_at IS NOT NULL;
CREATE INDEX sessions_open ON sessions (started_at, session_id) WHERE completed_at IS NULL;
CREATE INDEX sessions_started ON sessions (started_at, session_id);
CREATE INDEX task_attempts_ended ON task_attempts (project_id, completed_at, task_id, attempt_number)
  WHERE completed_at IS NOT NULL;
CREATE UNIQUE INDEX task_attempts_key ON task_attempts (project_id, task_id, attempt_number);
CREATE UNIQUE INDEX task_attempts_open ON task_attempts (project_id, task_id) WHERE completed_at IS NULL;
CREATE UNIQUE INDEX task_attempts_session ON task_attempts (session_id);
CREATE UNIQUE INDEX task_attempts_token ON task_attempts (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX tasks_backoff ON tasks (project_id, not_before) WHERE not_before_by_board = 1;
CREATE INDEX tasks_created ON tasks (project_id, status, created_at);
CREATE INDEX tasks_delayed ON tasks (queue_from) WHERE queue_from IS NOT NULL;
CREATE INDEX tasks_desk ON tasks (project_id, status, queue_role, queue_agent, updated_at)
  WHERE status = 'blocked' AND coalesce(kind, '') NOT IN ('held', 'dry_run')
     OR status = 'review' AND open_role IS NOT 'reviewer';
CREATE UNIQUE INDEX tasks_key ON tasks (project_id, task_id);
CREATE INDEX tasks_parent ON tasks (project_id, parent) WHERE parent IS NOT NULL;
CREATE INDEX tasks_priority ON tasks (project_id, status, priority, created_at);
CREATE INDEX tasks_queue ON tasks (queue_agent, project_id, queue_role, priority, created_at)
  WHERE queue_role IS NOT NULL AND queue_from IS NULL;
CREATE INDEX tasks_updated ON tasks (project_id, status, updated_at);
