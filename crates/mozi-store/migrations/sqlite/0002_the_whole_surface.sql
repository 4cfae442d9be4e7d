-- What the overview of a board asks for.

-- Tasks that wait for a person, the longest first: questions and trouble, and results that no agent is going to
-- review (where queue_role is set, the project decides whether an agent does).
CREATE INDEX tasks_desk ON tasks (project_id, status, queue_role, queue_agent, updated_at)
  WHERE status = 'blocked' AND coalesce(kind, '') NOT IN ('held', 'dry_run')
     OR status = 'review' AND open_role IS NOT 'reviewer';

-- Attempts by their end: what has been spent since.
CREATE INDEX task_attempts_ended ON task_attempts (project_id, completed_at, task_id, attempt_number)
  WHERE completed_at IS NOT NULL;

-- Pruning: events up to this number over all projects are not all there any more.
ALTER TABLE meta ADD COLUMN pruned_seq INTEGER NOT NULL DEFAULT 0;

-- Nothing has run, and nothing could have, since the board said that it had come to rest.
ALTER TABLE meta ADD COLUMN at_rest INTEGER NOT NULL DEFAULT 1;
-- Why a session could not be started or went wrong, in its runner's words.
ALTER TABLE sessions ADD COLUMN error TEXT;

-- People. Tokens of before say whose they are; whoever had one had it as an administrator.
INSERT OR IGNORE INTO users (user_id, role, created_at)
  SELECT user_id, 'admin', min(created_at) FROM tokens WHERE user_id IS NOT NULL GROUP BY user_id COLLATE NOCASE;
