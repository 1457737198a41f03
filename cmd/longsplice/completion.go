package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// The scripts ask the program itself for the words that may follow (cli's --generate-bash-completion).
const (
	bashCompletion = `_longsplice() {
  local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ $cur == -* ]] && words+=("$cur")
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _longsplice longsplice
`
	zshCompletion = `#compdef longsplice
_longsplice() {
  local -a words_before found
  words_before=("${(@)words[1,CURRENT-1]}")
  [[ $words[CURRENT] == -* ]] && words_before+=("$words[CURRENT]")
  found=("${(@f)$("${words_before[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n $found[1] ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _longsplice longsplice
`
)

// completionCommand prints a script; the program writes no file of a shell's.
func completionCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Category:    groupServe,
		Usage:       "print a shell's completion script",
		ArgsUsage:   "bash|zsh|fish",
		Description: "source <(longsplice completion bash)",
		Action: func(c *cli.Context) error {
			script, err := completionScript(c)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(env.stdout, script)
			return err
		},
	}
}

func completionScript(c *cli.Context) (string, error) {
	shells := []string{"bash", "zsh", "fish"}
	if c.NArg() != 1 {
		return "", usage(c, "takes one of "+strings.Join(shells, ", "))
	}
	switch shell := c.Args().First(); shell {
	case "bash":
		return bashCompletion, nil
	case "zsh":
		return zshCompletion, nil
	case "fish":
		return c.App.ToFishCompletion()
	default:
		return "", usage(c, fmt.Sprintf("does not know %q%s; one of %s", shell, didYouMean(shell, shells), strings.Join(shells, ", ")))
	}
}
