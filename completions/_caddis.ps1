
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'caddis' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'caddis'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'caddis' {
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make a new repository')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Save files and folders as a new snapshot')
            [CompletionResult]::new('why', 'why', [CompletionResultType]::ParameterValue, 'Say which rule takes a path in or leaves it out')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Bring back a snapshot, or a part of it')
            [CompletionResult]::new('snapshots', 'snapshots', [CompletionResultType]::ParameterValue, 'List snapshots, oldest first')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List what a snapshot holds')
            [CompletionResult]::new('cat', 'cat', [CompletionResultType]::ParameterValue, 'Print a file of a snapshot')
            [CompletionResult]::new('dump', 'dump', [CompletionResultType]::ParameterValue, 'Print a file, or a folder as an archive')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'List what differs between two snapshots')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Count what snapshots hold and what they take')
            [CompletionResult]::new('tag', 'tag', [CompletionResultType]::ParameterValue, 'Change the tags of snapshots')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Prove that all that snapshots need is there and whole')
            [CompletionResult]::new('key', 'key', [CompletionResultType]::ParameterValue, 'Manage the passphrases and key files that open the repository')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'caddis;init' {
            [CompletionResult]::new('--pack-size', '--pack-size', [CompletionResultType]::ParameterName, 'Length of a full pack')
            [CompletionResult]::new('--kdf-memory', '--kdf-memory', [CompletionResultType]::ParameterName, 'Memory that one try of a passphrase takes (Argon2id)')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;backup' {
            [CompletionResult]::new('--files-from', '--files-from', [CompletionResultType]::ParameterName, 'Save also what this file names, one path a line; `-` is standard input; may be repeated')
            [CompletionResult]::new('--files-from0', '--files-from0', [CompletionResultType]::ParameterName, 'The same with a NUL byte behind each path, as `find -print0` writes it')
            [CompletionResult]::new('--as-path', '--as-path', [CompletionResultType]::ParameterName, 'Save the one source as if it lay at this path')
            [CompletionResult]::new('--stdin-filename', '--stdin-filename', [CompletionResultType]::ParameterName, 'Path of that file in the snapshot')
            [CompletionResult]::new('--parent', '--parent', [CompletionResultType]::ParameterName, 'Compare files with this snapshot, instead of what this machine remembers')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Give the snapshot a tag; may be repeated, or several joined by commas')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Name of the machine that the snapshot shows, instead of this machine''s own')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Series that the snapshot belongs to, such as `nightly`')
            [CompletionResult]::new('--time', '--time', [CompletionResultType]::ParameterName, 'When the backup was made, if not now: RFC 3339, or local time as 2026-11-01 or "2026-11-01 03:00"')
            [CompletionResult]::new('--compression', '--compression', [CompletionResultType]::ParameterName, 'How much time to spend on making data smaller')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'Leave out what fits this pattern, in the syntax of gitignore; `!` in front takes in again; may be repeated')
            [CompletionResult]::new('--exclude', '--exclude', [CompletionResultType]::ParameterName, 'Leave out what fits this pattern, in the syntax of gitignore; `!` in front takes in again; may be repeated')
            [CompletionResult]::new('--iexclude', '--iexclude', [CompletionResultType]::ParameterName, 'The same, whatever the case of its letters')
            [CompletionResult]::new('--exclude-file', '--exclude-file', [CompletionResultType]::ParameterName, 'Leave out what fits a pattern of this file, one a line; may be repeated')
            [CompletionResult]::new('--iexclude-file', '--iexclude-file', [CompletionResultType]::ParameterName, 'The same, whatever the case of their letters')
            [CompletionResult]::new('--exclude-if-present', '--exclude-if-present', [CompletionResultType]::ParameterName, 'Leave out what lies beside a file of this name, which begins with HEADER; may be repeated')
            [CompletionResult]::new('--exclude-larger-than', '--exclude-larger-than', [CompletionResultType]::ParameterName, 'Leave out files that are larger')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--stdin', '--stdin', [CompletionResultType]::ParameterName, 'Save what comes from standard input as one file')
            [CompletionResult]::new('--stdin-from-command', '--stdin-from-command', [CompletionResultType]::ParameterName, 'Run the command that follows and save what it prints as one file; if it fails, nothing is saved')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Store nothing, and say what would be saved; with -v each item and why')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Store nothing, and say what would be saved; with -v each item and why')
            [CompletionResult]::new('--skip-if-unchanged', '--skip-if-unchanged', [CompletionResultType]::ParameterName, 'Make no snapshot when it would hold what the one before it holds')
            [CompletionResult]::new('--init', '--init', [CompletionResultType]::ParameterName, 'Make the repository when there is none')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Read every file, also those that look unchanged')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Read every file, also those that look unchanged')
            [CompletionResult]::new('--ignore-inode', '--ignore-inode', [CompletionResultType]::ParameterName, 'Take a file for unchanged although its inode number is another one, as on some network file systems')
            [CompletionResult]::new('--ignore-ctime', '--ignore-ctime', [CompletionResultType]::ParameterName, 'Take a file for unchanged although its metadata were changed since, if its size and modification time were not')
            [CompletionResult]::new('--with-atime', '--with-atime', [CompletionResultType]::ParameterName, 'Save also when files and folders were last read')
            [CompletionResult]::new('--no-ignore', '--no-ignore', [CompletionResultType]::ParameterName, 'Do not read `.caddisignore` in folders')
            [CompletionResult]::new('--exclude-caches', '--exclude-caches', [CompletionResultType]::ParameterName, 'Leave out what folders hold that a CACHEDIR.TAG marks as caches')
            [CompletionResult]::new('-x', '-x', [CompletionResultType]::ParameterName, 'Leave out what other file systems hold that are mounted below a source')
            [CompletionResult]::new('--one-file-system', '--one-file-system', [CompletionResultType]::ParameterName, 'Leave out what other file systems hold that are mounted below a source')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;why' {
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'What is saved, as it is named for the backup; by default what this user saved last of what holds the path; may be repeated')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'Leave out what fits this pattern, in the syntax of gitignore; `!` in front takes in again; may be repeated')
            [CompletionResult]::new('--exclude', '--exclude', [CompletionResultType]::ParameterName, 'Leave out what fits this pattern, in the syntax of gitignore; `!` in front takes in again; may be repeated')
            [CompletionResult]::new('--iexclude', '--iexclude', [CompletionResultType]::ParameterName, 'The same, whatever the case of its letters')
            [CompletionResult]::new('--exclude-file', '--exclude-file', [CompletionResultType]::ParameterName, 'Leave out what fits a pattern of this file, one a line; may be repeated')
            [CompletionResult]::new('--iexclude-file', '--iexclude-file', [CompletionResultType]::ParameterName, 'The same, whatever the case of their letters')
            [CompletionResult]::new('--exclude-if-present', '--exclude-if-present', [CompletionResultType]::ParameterName, 'Leave out what lies beside a file of this name, which begins with HEADER; may be repeated')
            [CompletionResult]::new('--exclude-larger-than', '--exclude-larger-than', [CompletionResultType]::ParameterName, 'Leave out files that are larger')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--no-ignore', '--no-ignore', [CompletionResultType]::ParameterName, 'Do not read `.caddisignore` in folders')
            [CompletionResult]::new('--exclude-caches', '--exclude-caches', [CompletionResultType]::ParameterName, 'Leave out what folders hold that a CACHEDIR.TAG marks as caches')
            [CompletionResult]::new('-x', '-x', [CompletionResultType]::ParameterName, 'Leave out what other file systems hold that are mounted below a source')
            [CompletionResult]::new('--one-file-system', '--one-file-system', [CompletionResultType]::ParameterName, 'Leave out what other file systems hold that are mounted below a source')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;restore' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--no-owner', '--no-owner', [CompletionResultType]::ParameterName, 'Do not restore owners and groups; without root they never are')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;snapshots' {
            [CompletionResult]::new('--latest', '--latest', [CompletionResultType]::ParameterName, 'Of each host with each set of paths, show the newest N only')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Show one line for each, without paths')
            [CompletionResult]::new('--compact', '--compact', [CompletionResultType]::ParameterName, 'Show one line for each, without paths')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;ls' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Print mode, owner, size and time, too')
            [CompletionResult]::new('--long', '--long', [CompletionResultType]::ParameterName, 'Print mode, owner, size and time, too')
            [CompletionResult]::new('-R', '-R ', [CompletionResultType]::ParameterName, 'List also what lies in folders below')
            [CompletionResult]::new('--recursive', '--recursive', [CompletionResultType]::ParameterName, 'List also what lies in folders below')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;cat' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;dump' {
            [CompletionResult]::new('-a', '-a', [CompletionResultType]::ParameterName, 'Kind of the archive; a folder becomes a tar by default, a file is written as it is')
            [CompletionResult]::new('--archive', '--archive', [CompletionResultType]::ParameterName, 'Kind of the archive; a folder becomes a tar by default, a file is written as it is')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Write to this file, which must be new, instead of standard output')
            [CompletionResult]::new('--target', '--target', [CompletionResultType]::ParameterName, 'Write to this file, which must be new, instead of standard output')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;diff' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--metadata', '--metadata', [CompletionResultType]::ParameterName, 'Name also items of which only mode, owner, time or extended attributes are others')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;stats' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;tag' {
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Give snapshots further tags')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Take tags from snapshots')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Give snapshots these tags and no others')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'caddis;tag;add' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;tag;remove' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;tag;set' {
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Only snapshots of this machine; may be repeated')
            [CompletionResult]::new('--tag', '--tag', [CompletionResultType]::ParameterName, 'Only snapshots with this tag, or with all of several joined by commas; may be repeated')
            [CompletionResult]::new('--path', '--path', [CompletionResultType]::ParameterName, 'Only snapshots of this path; may be repeated')
            [CompletionResult]::new('--label', '--label', [CompletionResultType]::ParameterName, 'Only snapshots with this label; may be repeated')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;tag;help' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Give snapshots further tags')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Take tags from snapshots')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Give snapshots these tags and no others')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'caddis;tag;help;add' {
            break
        }
        'caddis;tag;help;remove' {
            break
        }
        'caddis;tag;help;set' {
            break
        }
        'caddis;tag;help;help' {
            break
        }
        'caddis;check' {
            [CompletionResult]::new('--read-data-subset', '--read-data-subset', [CompletionResultType]::ParameterName, 'Do that for a part of all packs only: `5/12` is the fifth of twelve fixed parts, `10%` and `2GiB` are drawn by lot')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--read-data', '--read-data', [CompletionResultType]::ParameterName, 'Open every block and prove every chunk, too')
            [CompletionResult]::new('--storage', '--storage', [CompletionResultType]::ParameterName, 'Only prove that every object has the bytes that its name says; needs no key')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;key' {
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the slots: one for each passphrase or key file')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a slot with a passphrase or key file of its own')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a slot; the last one stays')
            [CompletionResult]::new('passwd', 'passwd', [CompletionResultType]::ParameterValue, 'Replace the passphrase or key file that was used to open the repository')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'caddis;key;list' {
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;key;add' {
            [CompletionResult]::new('--new-password-file', '--new-password-file', [CompletionResultType]::ParameterName, 'Read the new passphrase from this file')
            [CompletionResult]::new('--new-password-command', '--new-password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the new passphrase')
            [CompletionResult]::new('--new-key-file', '--new-key-file', [CompletionResultType]::ParameterName, 'Use this key file; it is made when it is absent')
            [CompletionResult]::new('--kdf-memory', '--kdf-memory', [CompletionResultType]::ParameterName, 'Memory that one try of a passphrase takes (Argon2id)')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'What `key list` calls the new slot')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;key;remove' {
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;key;passwd' {
            [CompletionResult]::new('--new-password-file', '--new-password-file', [CompletionResultType]::ParameterName, 'Read the new passphrase from this file')
            [CompletionResult]::new('--new-password-command', '--new-password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the new passphrase')
            [CompletionResult]::new('--new-key-file', '--new-key-file', [CompletionResultType]::ParameterName, 'Use this key file; it is made when it is absent')
            [CompletionResult]::new('--kdf-memory', '--kdf-memory', [CompletionResultType]::ParameterName, 'Memory that one try of a passphrase takes (Argon2id)')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;key;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the slots: one for each passphrase or key file')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a slot with a passphrase or key file of its own')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a slot; the last one stays')
            [CompletionResult]::new('passwd', 'passwd', [CompletionResultType]::ParameterValue, 'Replace the passphrase or key file that was used to open the repository')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'caddis;key;help;list' {
            break
        }
        'caddis;key;help;add' {
            break
        }
        'caddis;key;help;remove' {
            break
        }
        'caddis;key;help;passwd' {
            break
        }
        'caddis;key;help;help' {
            break
        }
        'caddis;completions' {
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--repo', '--repo', [CompletionResultType]::ParameterName, 'Folder of the repository. By default $XDG_DATA_HOME/caddis/repo, most often ~/.local/share/caddis/repo')
            [CompletionResult]::new('--password-file', '--password-file', [CompletionResultType]::ParameterName, 'Read the passphrase from this file; one line end at its end is dropped')
            [CompletionResult]::new('--password-command', '--password-command', [CompletionResultType]::ParameterName, 'Run this command in a shell and take what it prints as the passphrase')
            [CompletionResult]::new('--key-file', '--key-file', [CompletionResultType]::ParameterName, 'Open the repository with this key file instead of a passphrase; a new repository makes it when it is absent')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where to keep what can be made anew. By default $XDG_CACHE_HOME/caddis, most often ~/.cache/caddis')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON: one document for queries, one message a line for long work')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say what was done also when that is not for a terminal, and more of it')
            [CompletionResult]::new('--accept-rollback', '--accept-rollback', [CompletionResultType]::ParameterName, 'Take the repository as it is now, although this machine has seen more in it, or another one at its place')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'caddis;help' {
            [CompletionResult]::new('init', 'init', [CompletionResultType]::ParameterValue, 'Make a new repository')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Save files and folders as a new snapshot')
            [CompletionResult]::new('why', 'why', [CompletionResultType]::ParameterValue, 'Say which rule takes a path in or leaves it out')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Bring back a snapshot, or a part of it')
            [CompletionResult]::new('snapshots', 'snapshots', [CompletionResultType]::ParameterValue, 'List snapshots, oldest first')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List what a snapshot holds')
            [CompletionResult]::new('cat', 'cat', [CompletionResultType]::ParameterValue, 'Print a file of a snapshot')
            [CompletionResult]::new('dump', 'dump', [CompletionResultType]::ParameterValue, 'Print a file, or a folder as an archive')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'List what differs between two snapshots')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Count what snapshots hold and what they take')
            [CompletionResult]::new('tag', 'tag', [CompletionResultType]::ParameterValue, 'Change the tags of snapshots')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Prove that all that snapshots need is there and whole')
            [CompletionResult]::new('key', 'key', [CompletionResultType]::ParameterValue, 'Manage the passphrases and key files that open the repository')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'caddis;help;init' {
            break
        }
        'caddis;help;backup' {
            break
        }
        'caddis;help;why' {
            break
        }
        'caddis;help;restore' {
            break
        }
        'caddis;help;snapshots' {
            break
        }
        'caddis;help;ls' {
            break
        }
        'caddis;help;cat' {
            break
        }
        'caddis;help;dump' {
            break
        }
        'caddis;help;diff' {
            break
        }
        'caddis;help;stats' {
            break
        }
        'caddis;help;tag' {
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Give snapshots further tags')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Take tags from snapshots')
            [CompletionResult]::new('set', 'set', [CompletionResultType]::ParameterValue, 'Give snapshots these tags and no others')
            break
        }
        'caddis;help;tag;add' {
            break
        }
        'caddis;help;tag;remove' {
            break
        }
        'caddis;help;tag;set' {
            break
        }
        'caddis;help;check' {
            break
        }
        'caddis;help;key' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the slots: one for each passphrase or key file')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a slot with a passphrase or key file of its own')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a slot; the last one stays')
            [CompletionResult]::new('passwd', 'passwd', [CompletionResultType]::ParameterValue, 'Replace the passphrase or key file that was used to open the repository')
            break
        }
        'caddis;help;key;list' {
            break
        }
        'caddis;help;key;add' {
            break
        }
        'caddis;help;key;remove' {
            break
        }
        'caddis;help;key;passwd' {
            break
        }
        'caddis;help;completions' {
            break
        }
        'caddis;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
