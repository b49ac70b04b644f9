_llmstream_completion() {
    local IFS=$'\n'
    local response i words=() cword=$COMP_CWORD

    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        if [[ ${COMP_WORDS[i]} == '=' ]] && ((i < COMP_CWORD)); then
            ((cword--))
        else
            words+=("${COMP_WORDS[i]}")
        fi
    done

    response=$(env COMP_WORDS="${words[*]}" COMP_CWORD=$cword _LLMSTREAM_COMPLETE=bash_complete $1)

    for completion in $response; do
        IFS=',' read type value <<< "$completion"

        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=($value)
        fi
    done

    return 0
}

_llmstream_completion_setup() {
    complete -o nosort -F _llmstream_completion llmstream
}

_llmstream_completion_setup;
